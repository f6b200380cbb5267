/// The environment that the process was started with; empty where the system does not tell.
///
/// Read from procfs, because C's `environ` is a mutable global that no thread may safely look at.
package func processEnvironment() -> [String: String] {
    guard let bytes = try? readFile("/proc/self/environ") else { return [:] }
    var environment: [String: String] = [:]
    for entry in bytes.split(separator: 0) {
        guard let equals = entry.firstIndex(of: UInt8(ascii: "=")) else { continue }
        let name = String(decoding: entry[..<equals], as: UTF8.self)
        // Where a name stands twice the first is what `getenv` finds.
        if environment[name] == nil {
            environment[name] = String(decoding: entry[entry.index(after: equals)...], as: UTF8.self)
        }
    }
    return environment
}
