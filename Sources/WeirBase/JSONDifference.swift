/// One place at which two JSON documents differ; nil where one of them has nothing there.
package struct JSONDifference: Hashable, Sendable {
    /// As in `endpoints[0].lb_endpoints[2].health_status`; empty for the whole document. In a list from which something was
    /// taken it is the place in the old one, else that in the new one.
    package var path: String
    package var from: JSONValue?
    package var to: JSONValue?
}

/// The places at which two documents differ, in the order of the documents: the first so many, and how many there are
/// beyond. The order of an object's members means nothing.
package func differences(
    from old: JSONValue, to new: JSONValue, max: Int
) -> (differences: [JSONDifference], leftOut: Int) {
    var comparison = JSONComparison(max: max)
    comparison.compare(old, new, at: "")
    return (comparison.found, comparison.leftOut)
}

private struct JSONComparison {
    let max: Int
    var found: [JSONDifference] = []
    var leftOut = 0

    mutating func compare(_ old: JSONValue, _ new: JSONValue, at path: String) {
        guard old != new else { return }
        switch (old, new) {
        case (.object(let a), .object(let b)): self.compare(a, b, at: path)
        case (.array(let a), .array(let b)): self.compare(a, b, at: path)
        default: self.note(old, new, path)
        }
    }

    private mutating func note(_ old: JSONValue?, _ new: JSONValue?, _ path: String) {
        guard self.found.count < self.max else { return self.leftOut += 1 }
        self.found.append(JSONDifference(path: path, from: old, to: new))
    }

    private mutating func compare(_ old: [JSONMember], _ new: [JSONMember], at path: String) {
        let added = Dictionary(new.map { ($0.name, $0.value) }) { first, _ in first }
        var seen: Set<String> = []
        for member in old where seen.insert(member.name).inserted {
            let place = Self.path(path, member.name)
            if let value = added[member.name] {
                self.compare(member.value, value, at: place)
            } else {
                self.note(member.value, nil, place)
            }
        }
        for member in new where seen.insert(member.name).inserted {
            self.note(nil, member.value, Self.path(path, member.name))
        }
    }

    /// Lists are long and change in few places: what is the same at both ends is left aside, so that an element that comes
    /// or goes in the middle is one difference. What is between is compared one by one.
    private mutating func compare(_ old: [JSONValue], _ new: [JSONValue], at path: String) {
        let shorter = min(old.count, new.count)
        var start = 0
        while start < shorter, old[start] == new[start] { start += 1 }
        var end = 0
        while end < shorter - start, old[old.count - 1 - end] == new[new.count - 1 - end] { end += 1 }
        let (oldEnd, newEnd) = (old.count - end, new.count - end)
        for index in start..<Swift.max(oldEnd, newEnd) {
            let place = "\(path)[\(index)]"
            if index < oldEnd, index < newEnd {
                self.compare(old[index], new[index], at: place)
            } else {
                self.note(index < oldEnd ? old[index] : nil, index < newEnd ? new[index] : nil, place)
            }
        }
    }

    private static func path(_ path: String, _ name: String) -> String {
        let isPlain =
            !name.isEmpty
            && name.utf8.allSatisfy { byte in
                switch byte {
                case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                    UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "_"), UInt8(ascii: "@"), UInt8(ascii: "-"):
                    true
                default: false
                }
            }
        guard isPlain else {
            var quoted: [UInt8] = []
            JSONWriter.appendQuoted(name, to: &quoted)
            return "\(path)[\(String(decoding: quoted, as: UTF8.self))]"
        }
        return path.isEmpty ? name : "\(path).\(name)"
    }
}
