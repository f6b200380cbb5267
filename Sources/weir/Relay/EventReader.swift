/// Puts server-sent events together from their lines (WHATWG HTML, 9.2.6).
struct EventReader {
    struct Event: Equatable {
        /// Empty if the server names none.
        var kind = ""
        var data = ""
    }

    private var event = Event()
    private var hasData = false

    /// Takes one line without its end; an event when this line ends one.
    mutating func take(_ line: String) -> Event? {
        if line.isEmpty {
            defer {
                self.event = Event()
                self.hasData = false
            }
            return self.hasData ? self.event : nil
        }
        let parts = line.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
        var value = parts.count > 1 ? parts[1] : ""
        if value.hasPrefix(" ") { value = value.dropFirst() }
        switch parts[0] {
        case "event": self.event.kind = String(value)
        case "data":
            self.event.data += (self.hasData ? "\n" : "") + value
            self.hasData = true
        // An empty name is a comment, as servers send to keep the connection up; `id` and `retry` are of no use here.
        default: break
        }
        return nil
    }
}
