package import WeirBase
import WeirXDS

/// Server-sent events (HTML, "Server-sent events").
extension LiveEvent {
    /// More of one text is cut.
    private static var textBytesMax: Int { 1024 }

    /// The event as a listener reads it; one line of data, whatever stands in it.
    package var serverSentEvent: [UInt8] {
        var json = JSONWriter(reservingCapacity: 256)
        json.object { json in
            json.field("at", self.at.rfc3339)
            let texts = [
                ("key", self.key), ("node", self.node), ("type", self.type?.label ?? ""), ("version", self.version),
                ("nonce", self.nonce), ("push", self.push == .none ? "" : self.push.description),
                ("detail", self.detail),
            ]
            for (name, text) in texts where !text.isEmpty {
                json.field(name, text.bounded(toBytes: Self.textBytesMax))
            }
        }
        return Self.serverSentEvent(self.kind.rawValue, json.bytes)
    }

    /// Says that so many events were left out at this place.
    package static func dropped(_ count: Int, at: WallTime) -> [UInt8] {
        var json = JSONWriter()
        json.object {
            $0.field("at", at.rfc3339)
            $0.field("count", count)
        }
        return self.serverSentEvent("dropped", json.bytes)
    }

    /// A comment, which listeners skip.
    package static func comment(_ text: String) -> [UInt8] { Array(": \(text)\n\n".utf8) }

    private static func serverSentEvent(_ name: String, _ data: [UInt8]) -> [UInt8] {
        Array("event: \(name)\ndata: ".utf8) + data + Array("\n\n".utf8)
    }
}
