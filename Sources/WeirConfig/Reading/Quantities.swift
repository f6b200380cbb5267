package import WeirBase
import WeirYAML

extension Field {
    /// A duration such as `250ms`, `5s`, `1h30m`, within `range`; `0` needs no unit. `zeroMeans` allows 0 below it.
    func duration(_ range: ClosedRange<Nanoseconds>, orZero: Bool = false) -> Nanoseconds? {
        guard let text = self.quantity("a duration such as 250ms, 5s, 10m or 1h") else { return nil }
        guard let value = parsedDuration(text) else {
            self.error("\"\(text)\" is not a duration; expected one such as 250ms, 5s, 10m or 1h")
            return nil
        }
        if orZero, value == .zero { return value }
        guard range.contains(value) else {
            let zero = orZero ? ", or 0s" : ""
            let bounds = "between \(durationText(range.lowerBound)) and \(durationText(range.upperBound))\(zero)"
            self.error("\(text) is not \(bounds)")
            return nil
        }
        return value
    }

    /// A size such as `64KiB` or `32MiB` in bytes, within `range`.
    func size(_ range: ClosedRange<Int>, orZero: Bool = false) -> Int? {
        guard let text = self.quantity("a size such as 64KiB or 32MiB") else { return nil }
        guard let value = parsedSize(text) else {
            self.error("\"\(text)\" is not a size; expected one such as 64KiB, 32MiB or 1GiB")
            return nil
        }
        if orZero, value == 0 { return value }
        guard range.contains(value) else {
            let zero = orZero ? ", or 0" : ""
            self.error("\(text) is not between \(sizeText(range.lowerBound)) and \(sizeText(range.upperBound))\(zero)")
            return nil
        }
        return value
    }

    /// The text of a number with or without a unit.
    private func quantity(_ expected: String) -> String? {
        switch self.node.scalar?.resolved {
        case .string(let text): return text
        case .int(let value): return String(value)
        default:
            self.error("expected \(expected), not \(self.node.kindDescription)")
            return nil
        }
    }
}

private let durationUnits: [(name: String, nanoseconds: Int64)] = [
    ("h", 3_600_000_000_000), ("m", 60_000_000_000), ("s", 1_000_000_000), ("ms", 1_000_000), ("us", 1_000),
]

private let sizeUnits: [(name: String, bytes: Int)] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)]

/// A sum of whole numbers with units; nil if it is none or too large.
package func parsedDuration(_ text: String) -> Nanoseconds? {
    if text == "0" { return .zero }
    var rest = text[...]
    var total: Int64 = 0
    repeat {
        let digits = rest.prefix { $0.isASCII && $0.isNumber }
        let unit = rest[digits.endIndex...].prefix { $0.isASCII && $0.isLetter }
        guard let count = Int64(digits), let scale = durationUnits.first(where: { $0.name == unit })?.nanoseconds else {
            return nil
        }
        let (product, overflow) = count.multipliedReportingOverflow(by: scale)
        let (sum, sumOverflow) = total.addingReportingOverflow(product)
        if overflow || sumOverflow { return nil }
        total = sum
        rest = rest[unit.endIndex...]
    } while !rest.isEmpty
    return Nanoseconds(rawValue: total)
}

func parsedSize(_ text: String) -> Int? {
    let digits = text.prefix { $0.isASCII && $0.isNumber }
    let unit = text[digits.endIndex...]
    guard let count = Int(digits), let scale = unit.isEmpty ? 1 : sizeUnits.first(where: { $0.name == unit })?.bytes
    else { return nil }
    let (product, overflow) = count.multipliedReportingOverflow(by: scale)
    return overflow ? nil : product
}

/// The duration in the largest unit that gives a whole number.
func durationText(_ value: Nanoseconds) -> String {
    let unit = durationUnits.first { value.rawValue != 0 && value.rawValue % $0.nanoseconds == 0 }
    return unit.map { "\(value.rawValue / $0.nanoseconds)\($0.name)" } ?? "\(value.rawValue / 1_000_000_000)s"
}

func sizeText(_ value: Int) -> String {
    let unit = sizeUnits.first { value != 0 && value % $0.bytes == 0 }
    return unit.map { "\(value / $0.bytes)\($0.name)" } ?? "\(value)B"
}
