"""The embedded servers, and the supervisor of the processes of `spotisync up` and `spotisync demo`."""
