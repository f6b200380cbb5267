import WeirBase
import WeirYAML

extension Field {
    /// `tracing`; nil where it names no collector.
    func tracing(in folder: String) -> TracingConfiguration? {
        guard let otlp = self.section(["otlp"])?.require("otlp"),
            let section = otlp.section(["endpoint", "sample", "headers", "ca", "service_name", "timeout"])
        else { return nil }
        var tracing = TracingConfiguration(endpoint: section.require("endpoint")?.collectorURL() ?? "")
        section.read("sample", into: &tracing.share) { $0.share() }
        section.read("headers", into: &tracing.headers) { $0.headers() }
        section.read("ca", into: &tracing.authorities) { $0.readableFile(in: folder) }
        section.read("service_name", into: &tracing.serviceName) { $0.nonEmptyText() }
        section.read("timeout", into: &tracing.timeout) { $0.duration(.milliseconds(10)...(.seconds(60))) }
        if section["ca"] != nil, !tracing.endpoint.hasPrefix("https://") {
            section["ca"]?.error("it needs an endpoint that begins with https://")
        }
        return tracing
    }

    private func collectorURL() -> String? {
        guard let text = self.nonEmptyText() else { return nil }
        let rest = ["http://", "https://"].first { text.hasPrefix($0) }.map { text.dropFirst($0.count) }
        let isClean = !text.unicodeScalars.contains { $0.value <= 0x20 || $0.value >= 0x7F || $0 == "#" }
        guard let rest, let slash = rest.firstIndex(of: "/"), slash > rest.startIndex, isClean else {
            self.error("\"\(text)\" is no collector's URL; expected one such as http://collector:4318/v1/traces")
            return nil
        }
        return text
    }

    /// A number from 0 to 1.
    private func share() -> Double? {
        let value: Double? =
            switch self.untypedValue {
            case .int(let number): Double(number)
            case .float(let number): number
            default: nil
            }
        if let value, value >= 0, value <= 1 { return value }
        self.error("expected a number from 0 to 1, such as 0.1, not \(self.node.kindDescription)")
        return nil
    }

    private func headers() -> [TracingConfiguration.Header]? {
        self.entries()?.compactMap { entry -> TracingConfiguration.Header? in
            let isName = !entry.name.isEmpty && entry.name.utf8.allSatisfy { $0 > 0x20 && $0 < 0x7F && $0 != 0x3A }
            if !isName { entry.field.error("\"\(entry.name)\" is no name of a header") }
            guard let value = entry.field.text(), isName else { return nil }
            guard value.utf8.allSatisfy({ $0 >= 0x20 && $0 != 0x7F }) else {
                entry.field.error("a header's value is one line of text")
                return nil
            }
            return TracingConfiguration.Header(name: entry.name, value: value)
        }
    }
}
