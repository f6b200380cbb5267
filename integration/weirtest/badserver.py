"""Servers that take connections and are of no use, each in its own way, and count how often they are tried."""

import h2.config
import h2.connection
import h2.events
import h2.settings

from weirtest.loop import LoopServer


class BadServer(LoopServer):
    """`manner`: `close` (accepts and closes), `silent` (accepts, says nothing), `goaway` (speaks HTTP/2 only to ask to
    leave, and keeps the connection), `reset` (resets every stream), `unavailable` (ends every stream with nothing but
    UNAVAILABLE trailers), `no-streams` (allows none)."""

    def __init__(self, manner):
        self.manner, self.connections, self.streams = manner, 0, 0
        super().__init__()

    async def _serve(self, reader, writer):
        self.connections += 1
        if self.manner == "silent":
            while await reader.read(65536):
                pass
        elif self.manner != "close":
            await self._speak(reader, writer)

    async def _speak(self, reader, writer):
        wire = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
        if self.manner == "no-streams":
            wire.local_settings = h2.settings.Settings(False, {h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS: 0})
        wire.initiate_connection()
        writer.write(wire.data_to_send())
        while data := await reader.read(65536):
            for event in wire.receive_data(data):
                if isinstance(event, h2.events.RequestReceived):
                    self.streams += 1
                    if self.manner == "reset":
                        wire.reset_stream(event.stream_id, 0x2)
                    elif self.manner == "unavailable":
                        wire.send_headers(event.stream_id, [
                            (":status", "200"), ("content-type", "application/grpc"), ("grpc-status", "14"),
                            ("grpc-message", "not today")], end_stream=True)
                elif isinstance(event, h2.events.RemoteSettingsChanged) and self.manner == "goaway":
                    # As a server does that goes on with what it has: raw, for h2 would take it for the end.
                    writer.write(wire.data_to_send() + b"\0\0\x08\x07\0\0\0\0\0" + b"\x7f\xff\xff\xff" + b"\0\0\0\0")
            writer.write(wire.data_to_send())
            await writer.drain()
