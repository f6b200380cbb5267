import Glibc
import WeirBase
import WeirConfig
import WeirLoop
import WeirStore

/// Looks at a store's file before it is used, in a process of its own.
///
/// The library that reads the file trusts what stands in it: a damaged page can end the process that follows it. So
/// another process goes through everything first, and only what it comes back from is opened here.
enum StoreCheck {
    private static let timeout = Nanoseconds.seconds(60)
    private static let answerMax = 4096

    /// - Throws: `.damaged` or `.foreign` if the file must not be used; another kind if that could not be found out.
    static func run(_ path: String) throws(StoreError) {
        var pipe: [CInt] = [-1, -1]
        guard unsafe Glibc.pipe(&pipe) == 0 else {
            throw StoreError(.open, "make a pipe: \(SystemError.text(errno))")
        }
        for descriptor in pipe { _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC) }
        defer { for descriptor in pipe where descriptor >= 0 { close(descriptor) } }
        guard let process = self.start(path, output: pipe[1]) else {
            // Without a program file there is nothing to start; then this process has to do it.
            let report = try Store.checkBeforeUse(path: path)
            if let problem = report.problems.first { throw StoreError(.damaged, problem) }
            return
        }
        close(pipe[1])
        pipe[1] = -1
        let answer = self.read(pipe[0])
        if answer == nil { kill(process, SIGKILL) }
        var status: CInt = 0
        while unsafe waitpid(process, &status, 0) < 0 && errno == EINTR {}
        guard let answer = answer else {
            throw StoreError(.open, "looking at \(path) took more than \(self.timeout.seconds) s")
        }
        guard status != 0 else { return }
        let signal = status & 0x7F
        if signal != 0 {
            throw StoreError(.damaged, "\(path) is damaged: looking through it ended with signal \(signal)")
        }
        let text = answer.split(separator: "\n").first.map(String.init) ?? "status \(status >> 8)"
        throw StoreError(text.contains("no store") ? .foreign : .damaged, text)
    }

    private static func start(_ path: String, output: CInt) -> pid_t? {
        var actions = unsafe posix_spawn_file_actions_t()
        unsafe posix_spawn_file_actions_init(&actions)
        defer { unsafe posix_spawn_file_actions_destroy(&actions) }
        unsafe posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0)
        unsafe posix_spawn_file_actions_adddup2(&actions, output, STDOUT_FILENO)
        unsafe posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0)
        var attributes = posix_spawnattr_t()
        unsafe posix_spawnattr_init(&attributes)
        defer { unsafe posix_spawnattr_destroy(&attributes) }
        var none = sigset_t()
        unsafe sigemptyset(&none)
        unsafe posix_spawnattr_setsigmask(&attributes, &none)
        unsafe posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGMASK))
        var environment = processEnvironment()
        // A crash is an answer, not an occasion for a report.
        environment["SWIFT_BACKTRACE"] = "enable=no"
        let arguments = ["weir", "store", "verify", "--before-use", "--path", path]
        return unsafe self.withStrings(arguments) { arguments in
            unsafe self.withStrings(environment.map { "\($0.key)=\($0.value)" }) { environment in
                var process: pid_t = 0
                let code = unsafe posix_spawn(&process, "/proc/self/exe", &actions, &attributes, arguments, environment)
                return code == 0 ? process : nil
            }
        }
    }

    /// The texts as C has them: a list of pointers that ends with none.
    private static func withStrings<Result>(
        _ texts: [String], _ body: (UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>) -> Result
    ) -> Result {
        let list = UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>.allocate(capacity: texts.count + 1)
        defer { unsafe list.deallocate() }
        for (index, text) in texts.enumerated() { unsafe (list + index).initialize(to: strdup(text)) }
        unsafe (list + texts.count).initialize(to: nil)
        defer { for index in texts.indices { unsafe free(list[index]) } }
        return unsafe body(list)
    }

    /// What the other process says until it ends; nil if that takes too long.
    private static func read(_ descriptor: CInt) -> String? {
        let end = Loop.monotonicNow() + self.timeout
        var answer: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 1024)
        while true {
            let left = (end - Loop.monotonicNow()).rawValue / 1_000_000
            guard left > 0 else { return nil }
            var wait = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
            let ready = unsafe poll(&wait, 1, CInt(clamping: left))
            if ready < 0, errno == EINTR { continue }
            guard ready > 0 else { return nil }
            let count = unsafe chunk.withUnsafeMutableBytes { unsafe Glibc.read(descriptor, $0.baseAddress, $0.count) }
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { return String(decoding: answer, as: UTF8.self) }
            if answer.count < self.answerMax { answer += chunk[..<count] }
        }
    }
}
