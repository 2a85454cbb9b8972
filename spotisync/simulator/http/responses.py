"""Send replies: completely, partly, or by closing the connection."""

import socket
import struct

from aiohttp import web

from spotisync.simulator.http.request import Reply


def response(reply: Reply) -> web.Response:
    headers = {"cache-control": "private, max-age=0", **reply.headers}
    if reply.status == 204:
        return web.Response(status=204, headers=headers)
    headers["content-type"] = f"{reply.content_type}; charset=utf-8"
    return web.Response(body=reply.body.encode(), status=reply.status, headers=headers)


def reset_connection(request: web.BaseRequest) -> web.Response:
    """Reset the connection. Nothing can be sent after that, but aiohttp expects a response."""
    if request.transport is not None:
        connection = request.transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # close with RST, not FIN
        request.transport.abort()
    return web.Response()


async def send_half(request: web.BaseRequest, reply: Reply) -> web.StreamResponse:
    """Announce the complete body, send half of it and close the connection."""
    body = reply.body.encode()
    partial = web.StreamResponse(status=reply.status, headers={"content-type": "application/json; charset=utf-8"})
    partial.content_length = len(body)
    await partial.prepare(request)
    await partial.write(body[: len(body) // 2])
    if request.transport is not None:
        request.transport.close()
    return partial
