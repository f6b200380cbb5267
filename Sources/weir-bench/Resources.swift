import WeirBase
import WeirXDS

/// The resources of the benchmark: clusters `c0`, `c1`... over EDS, each with its endpoints. An endpoint carries the
/// moment of the last change as its host name, so that a client can tell how long it took.
enum BenchResources {
    static let stampMark = Array("stamp=".utf8)
    /// Digits of a stamp: monotonic nanoseconds, padded.
    static let stampDigits = 19

    static func name(_ index: Int) -> String { "c\(index)" }

    /// `envoy.config.cluster.v3.Cluster`: type EDS over ADS, and a TLS context's worth of padding.
    static func cluster(_ index: Int, padding: Int) -> [UInt8] {
        var source = WireWriter()
        source.message(3, [])  // ads
        source.uint(6, 2)  // resource_api_version V3
        var eds = WireWriter()
        eds.message(1, source.bytes)
        var cluster = WireWriter()
        cluster.string(1, self.name(index))
        cluster.uint(2, 3)  // type EDS
        cluster.message(3, eds.bytes)
        if padding > 0 { cluster.string(28, String(repeating: "x", count: padding)) }  // alt_stat_name
        return cluster.bytes
    }

    /// `envoy.config.endpoint.v3.ClusterLoadAssignment`.
    static func endpoints(_ index: Int, count: Int, stamp: Int64) -> [UInt8] {
        var locality = WireWriter()
        for number in 0..<count {
            var socket = WireWriter()
            socket.string(2, "10.\(index >> 8 & 255).\(index & 255).\(number & 255)")
            socket.uint(3, 8080)
            var address = WireWriter()
            address.message(1, socket.bytes)
            var endpoint = WireWriter()
            endpoint.message(1, address.bytes)
            if number == 0 {
                let digits = String(stamp)
                let zeros = String(repeating: "0", count: max(0, self.stampDigits - digits.utf8.count))
                endpoint.string(3, "stamp=" + zeros + digits)  // hostname
            }
            var member = WireWriter()
            member.message(1, endpoint.bytes)
            locality.message(2, member.bytes)
        }
        var assignment = WireWriter()
        assignment.string(1, self.name(index))
        assignment.message(2, locality.bytes)
        return assignment.bytes
    }

    /// The first stamp in a message; nil if it has none.
    static func stamp(in bytes: borrowing Span<UInt8>) -> Int64? {
        var position = 0
        let end = bytes.count - self.stampDigits - self.stampMark.count
        while position <= end {
            if bytes[position] == self.stampMark[0], self.isMark(bytes, position) {
                var value: Int64 = 0
                let start = position + self.stampMark.count
                for i in start..<(start + self.stampDigits) {
                    value = value &* 10 &+ Int64(bytes[i] &- UInt8(ascii: "0"))
                }
                return value
            }
            position += 1
        }
        return nil
    }

    private static func isMark(_ bytes: borrowing Span<UInt8>, _ position: Int) -> Bool {
        for i in self.stampMark.indices where bytes[position + i] != self.stampMark[i] { return false }
        return true
    }

    /// The content of a `google.protobuf.Any`.
    static func any(_ type: XDSType, _ value: [UInt8]) -> [UInt8] {
        var any = WireWriter(reserving: value.count + 80)
        any.string(1, type.typeURL)
        any.message(2, value)
        return any.bytes
    }
}
