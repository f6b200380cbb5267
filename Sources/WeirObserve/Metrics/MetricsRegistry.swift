import WeirBase

/// What a family's children are.
package enum MetricKind: String, Sendable {
    case counter
    case gauge
    case histogram
}

/// One metric with its labels.
package enum Metric: Sendable {
    case counter(Counter)
    case gauge(Gauge)
    case histogram(Histogram)
}

/// All metrics of one name, with the texts that Prometheus shows for it.
///
/// The label sets are fixed when the family is made: a worker finds its metric without a lock, and no peer can make
/// the exposition grow.
package struct MetricFamily: Sendable {
    /// One line, or for a histogram one set of lines, of the exposition.
    struct Child: Sendable {
        /// Rendered once: `name{label="value"}`, or for a histogram only the labels.
        let series: [UInt8]
        let metric: Metric
        /// Left out of the exposition while its value is zero: what stands for "anything else".
        let isHiddenWhileZero: Bool
    }

    package let name: String
    let head: [UInt8]
    let kind: MetricKind
    private(set) var children: [Child] = []

    /// - Parameter name: letters, digits and `_`, as Prometheus asks for.
    package init(_ name: String, _ kind: MetricKind, help: String) {
        self.name = name
        self.kind = kind
        var head = Array("# HELP \(name) ".utf8)
        Exposition.appendHelp(help, to: &head)
        head.append(contentsOf: "\n# TYPE \(name) \(kind.rawValue)\n".utf8)
        self.head = head
    }

    /// A new counter with these labels, in the order given.
    package mutating func counter(
        _ labels: KeyValuePairs<String, String> = [:], hiddenWhileZero: Bool = false
    ) -> Counter {
        precondition(self.kind == .counter, "a counter belongs into a family of counters")
        let counter = Counter()
        self.append(.counter(counter), labels, hiddenWhileZero)
        return counter
    }

    /// A new gauge with these labels, in the order given.
    package mutating func gauge(
        _ labels: KeyValuePairs<String, String> = [:], hiddenWhileZero: Bool = false
    ) -> Gauge {
        precondition(self.kind == .gauge, "a gauge belongs into a family of gauges")
        let gauge = Gauge()
        self.append(.gauge(gauge), labels, hiddenWhileZero)
        return gauge
    }

    /// A new histogram with these labels, in the order given; its family's name should end in `_seconds`.
    package mutating func histogram(_ labels: KeyValuePairs<String, String> = [:]) -> Histogram {
        precondition(self.kind == .histogram, "a histogram belongs into a family of histograms")
        let histogram = Histogram()
        self.append(.histogram(histogram), labels, false)
        return histogram
    }

    private mutating func append(_ metric: Metric, _ labels: KeyValuePairs<String, String>, _ hiddenWhileZero: Bool) {
        var series: [UInt8] = []
        for (label, value) in labels {
            if !series.isEmpty { series.append(UInt8(ascii: ",")) }
            series.append(contentsOf: "\(label)=\"".utf8)
            Exposition.appendLabelValue(value, to: &series)
            series.append(UInt8(ascii: "\""))
        }
        if self.kind != .histogram {
            series = Array(self.name.utf8) + (series.isEmpty ? [] : Array("{".utf8) + series + Array("}".utf8))
        }
        self.children.append(Child(series: series, metric: metric, isHiddenWhileZero: hiddenWhileZero))
    }
}

/// The families in the order they are shown. Fixed once made, so it is read from any thread without a lock.
package final class MetricsRegistry: Sendable {
    private let families: [MetricFamily]

    package init(_ families: [MetricFamily]) {
        precondition(Set(families.map(\.name)).count == families.count, "a metric's name stands for one family")
        self.families = families
    }

    /// Appends every family in the text format 0.0.4.
    package func render(into bytes: inout [UInt8]) {
        for family in self.families { Exposition.append(family, to: &bytes) }
    }
}
