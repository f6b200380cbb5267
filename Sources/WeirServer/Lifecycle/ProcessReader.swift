import Glibc
import WeirObserve

/// The process's own figures, from the kernel. Any thread; reads a few small files.
enum ProcessReader {
    static func figures() -> ProcessFigures {
        let fields = self.statFields
        let ticks = Double(max(1, sysconf(CInt(_SC_CLK_TCK))))
        let page = UInt64(max(1, sysconf(CInt(_SC_PAGESIZE))))
        var limit = rlimit()
        let hasLimit = unsafe getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0
        return ProcessFigures(
            cpuSeconds: (self.number(fields, 11) + self.number(fields, 12)) / ticks,
            residentBytes: UInt64(self.number(fields, 21)) * page,
            virtualBytes: UInt64(self.number(fields, 20)),
            openFDs: self.openDescriptors, maxFDs: hasLimit ? UInt64(limit.rlim_cur) : 0,
            startTimeSeconds: self.bootTime + self.number(fields, 19) / ticks)
    }

    /// The fields of `/proc/self/stat` after the program's name, which may hold anything; the first is the state.
    private static var statFields: [Substring] {
        let text = self.read("/proc/self/stat")
        guard let end = text.lastIndex(of: ")") else { return [] }
        return text[text.index(after: end)...].split(separator: " ")
    }

    private static func number(_ fields: [Substring], _ index: Int) -> Double {
        index < fields.count ? Double(fields[index]) ?? 0 : 0
    }

    private static var bootTime: Double {
        for line in self.read("/proc/stat").split(separator: "\n") where line.hasPrefix("btime ") {
            return Double(line.dropFirst("btime ".count)) ?? 0
        }
        return 0
    }

    private static var openDescriptors: UInt64 {
        guard let folder = unsafe opendir("/proc/self/fd") else { return 0 }
        defer { unsafe _ = closedir(folder) }
        var count: UInt64 = 0
        while unsafe readdir(folder) != nil { count += 1 }
        // Not counted: ".", ".." and the descriptor that lists.
        return count > 3 ? count - 3 : 0
    }

    static func read(_ path: String) -> String { String(decoding: self.readBytes(path) ?? [], as: UTF8.self) }

    /// A whole file; nil if it cannot be read.
    static func readBytes(_ path: String) -> [UInt8]? {
        let descriptor = unsafe open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return nil }
        defer { close(descriptor) }
        var result: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 64 << 10)
        while true {
            let count = unsafe chunk.withUnsafeMutableBytes { unsafe Glibc.read(descriptor, $0.baseAddress, $0.count) }
            if count < 0, errno == EINTR { continue }
            guard count >= 0 else { return nil }
            if count == 0 { return result }
            result += chunk[..<count]
        }
    }
}
