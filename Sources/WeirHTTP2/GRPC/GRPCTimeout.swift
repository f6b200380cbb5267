package import WeirBase

/// `grpc-timeout`: at most eight digits and a unit, one of `H M S m u n` (gRPC `PROTOCOL-HTTP2.md`, "Timeout").
package enum GRPCTimeout {
    /// The span, or nil if the value is malformed.
    package static func parse(_ value: some Collection<UInt8>) -> Nanoseconds? {
        guard (2...9).contains(value.count) else { return nil }
        var amount: Int64 = 0
        var unit: UInt8 = 0
        for (position, byte) in value.enumerated() {
            if position == value.count - 1 {
                unit = byte
            } else {
                guard byte >= UInt8(ascii: "0"), byte <= UInt8(ascii: "9") else { return nil }
                amount = amount * 10 + Int64(byte - UInt8(ascii: "0"))
            }
        }
        guard let factor = Self.nanoseconds(unit) else { return nil }
        // At most 99,999,999 hours: more than 292 years do not fit, and mean "for ever" to anybody.
        let (product, overflow) = amount.multipliedReportingOverflow(by: factor)
        return Nanoseconds(rawValue: overflow ? .max : product)
    }

    private static func nanoseconds(_ unit: UInt8) -> Int64? {
        switch unit {
        case UInt8(ascii: "H"): 3_600_000_000_000
        case UInt8(ascii: "M"): 60_000_000_000
        case UInt8(ascii: "S"): 1_000_000_000
        case UInt8(ascii: "m"): 1_000_000
        case UInt8(ascii: "u"): 1_000
        case UInt8(ascii: "n"): 1
        default: nil
        }
    }
}
