/// What the operating system says about the process; read by the caller at each scrape.
package struct ProcessFigures: Sendable {
    /// User and system time together.
    package var cpuSeconds: Double
    package var residentBytes: UInt64
    package var virtualBytes: UInt64
    package var openFDs: UInt64
    package var maxFDs: UInt64
    /// Since the Unix epoch.
    package var startTimeSeconds: Double

    package init(
        cpuSeconds: Double, residentBytes: UInt64, virtualBytes: UInt64, openFDs: UInt64, maxFDs: UInt64,
        startTimeSeconds: Double
    ) {
        self.cpuSeconds = cpuSeconds
        self.residentBytes = residentBytes
        self.virtualBytes = virtualBytes
        self.openFDs = openFDs
        self.maxFDs = maxFDs
        self.startTimeSeconds = startTimeSeconds
    }

    /// The names and meanings that Prometheus's own client libraries use.
    func render(into bytes: inout [UInt8]) {
        Exposition.append(
            "process_cpu_seconds_total", .counter, help: "User and system CPU time spent, in seconds.",
            value: self.cpuSeconds, to: &bytes)
        Exposition.append(
            "process_resident_memory_bytes", .gauge, help: "Resident memory, in bytes.",
            value: Double(self.residentBytes), to: &bytes)
        Exposition.append(
            "process_virtual_memory_bytes", .gauge, help: "Virtual memory, in bytes.",
            value: Double(self.virtualBytes), to: &bytes)
        Exposition.append(
            "process_open_fds", .gauge, help: "Open file descriptors.", value: Double(self.openFDs), to: &bytes)
        Exposition.append(
            "process_max_fds", .gauge, help: "Most file descriptors that may be open.", value: Double(self.maxFDs),
            to: &bytes)
        Exposition.append(
            "process_start_time_seconds", .gauge, help: "When the process started, in seconds since the Unix epoch.",
            value: self.startTimeSeconds, to: &bytes)
    }
}
