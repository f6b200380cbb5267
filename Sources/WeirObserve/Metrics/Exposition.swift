import WeirBase

/// The Prometheus text format 0.0.4.
package enum Exposition {
    package static let contentType = "text/plain; version=0.0.4; charset=utf-8"

    static func append(_ family: MetricFamily, to bytes: inout [UInt8]) {
        bytes.append(contentsOf: family.head)
        for child in family.children {
            switch child.metric {
            case .counter(let counter):
                let value = counter.value
                if value != 0 || !child.isHiddenWhileZero { self.append(child.series, String(value), to: &bytes) }
            case .gauge(let gauge):
                let value = gauge.value
                if value != 0 || !child.isHiddenWhileZero { self.append(child.series, String(value), to: &bytes) }
            case .histogram(let histogram):
                self.append(histogram, name: family.name, labels: child.series, to: &bytes)
            }
        }
    }

    private static func append(_ series: [UInt8], _ value: String, to bytes: inout [UInt8]) {
        bytes.append(contentsOf: series)
        bytes.append(UInt8(ascii: " "))
        bytes.append(contentsOf: value.utf8)
        bytes.append(UInt8(ascii: "\n"))
    }

    private static func append(_ histogram: Histogram, name: String, labels: [UInt8], to bytes: inout [UInt8]) {
        let figures = histogram.figures
        let bounds = Histogram.bounds.map { number($0.seconds) } + ["+Inf"]
        let comma: [UInt8] = labels.isEmpty ? [] : [UInt8(ascii: ",")]
        for (bound, count) in zip(bounds, figures.cumulative) {
            let series = Array("\(name)_bucket{".utf8) + labels + comma + Array("le=\"\(bound)\"}".utf8)
            self.append(series, String(count), to: &bytes)
        }
        let braced = labels.isEmpty ? [] : Array("{".utf8) + labels + Array("}".utf8)
        self.append(Array("\(name)_sum".utf8) + braced, self.number(figures.sum.seconds), to: &bytes)
        self.append(Array("\(name)_count".utf8) + braced, String(figures.cumulative.last ?? 0), to: &bytes)
    }

    /// A family of one series whose value is at hand only while rendering.
    static func append(_ name: String, _ kind: MetricKind, help: String, value: Double, to bytes: inout [UInt8]) {
        bytes.append(contentsOf: MetricFamily(name, kind, help: help).head)
        self.append(Array(name.utf8), self.number(value), to: &bytes)
    }

    /// Whole numbers without a fraction; others as short as they can be told apart.
    static func number(_ value: Double) -> String {
        if value.isInfinite { return value < 0 ? "-Inf" : "+Inf" }
        if value.isNaN { return "NaN" }
        if let whole = Int64(exactly: value) { return String(whole) }
        return String(value)
    }

    /// Label values escape backslash, quote and line feed, and nothing else.
    static func appendLabelValue(_ text: String, to bytes: inout [UInt8]) {
        for byte in text.utf8 {
            switch byte {
            case UInt8(ascii: "\\"): bytes.append(contentsOf: "\\\\".utf8)
            case UInt8(ascii: "\""): bytes.append(contentsOf: "\\\"".utf8)
            case UInt8(ascii: "\n"): bytes.append(contentsOf: "\\n".utf8)
            default: bytes.append(byte)
            }
        }
    }

    /// Help texts escape backslash and line feed; quotes stand as they are.
    static func appendHelp(_ text: String, to bytes: inout [UInt8]) {
        for byte in text.utf8 {
            switch byte {
            case UInt8(ascii: "\\"): bytes.append(contentsOf: "\\\\".utf8)
            case UInt8(ascii: "\n"): bytes.append(contentsOf: "\\n".utf8)
            default: bytes.append(byte)
            }
        }
    }
}
