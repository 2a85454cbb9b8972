"""The embedded servers, and the supervision of the processes of `spotisync up` and `spotisync demo`."""
