import Glibc
import WeirBase
import WeirConfig

/// How the process ends.
enum ExitStatus {
    static let fine: Int32 = 0
    /// Failed while running; for `explain`: no rule matched.
    static let failed: Int32 = 1
    /// Bad usage or an invalid configuration.
    static let invalid: Int32 = 2
}

/// What a command prints and how it ends, kept apart from the doing so that it can be tested.
struct CommandResult: Equatable {
    var output = ""
    var errors = ""
    var status = ExitStatus.fine
}

/// Runs what the arguments of the process say.
nonisolated func runWeir() -> Int32 {
    let arguments = Array(CommandLine.arguments.dropFirst())
    if let path = serveConfigurationPath(arguments) { return serve(configurationPath: path) }
    if case .store(let options)? = try? Command(arguments) {
        return finish(store(options, environment: processEnvironment()) { writeAll($0, to: STDOUT_FILENO) })
    }
    let environment = processEnvironment()
    let screen = Screen.standardOutput(environment: environment)
    return finish(run(arguments, environment: environment, screen: screen) { writeAll($0, to: STDOUT_FILENO) })
}

private func finish(_ result: CommandResult) -> Int32 {
    writeAll(result.output, to: STDOUT_FILENO)
    writeAll(result.errors, to: STDERR_FILENO)
    return result.status
}

/// Runs every command that answers and ends. What comes bit by bit is handed to `write`.
func run(
    _ arguments: [String], environment: [String: String], screen: Screen = Screen(),
    write: @escaping (String) -> Void = { _ in }
) -> CommandResult {
    do {
        switch try Command(arguments) {
        case .help(let topic): return CommandResult(output: helpText(topic))
        case .version: return CommandResult(output: "weir \(weirVersion)\n")
        case .check(let path): return check(path, environment: environment)
        case .explain(let options): return explain(options, environment: environment)
        case .store(let options):
            var output = ""
            var result = store(options, environment: environment) { output += $0 }
            result.output = output
            return result
        case .ask(let question): return ask(question, environment: environment, screen: screen, write: write)
        case .completion(let shell): return CommandResult(output: completionScript(shell))
        case .man: return CommandResult(output: manualPage())
        case .serve: return CommandResult()
        }
    } catch {
        return CommandResult(errors: "weir: \(error.message)\n", status: ExitStatus.invalid)
    }
}

/// The configuration to serve, if the arguments are a good `serve`.
private func serveConfigurationPath(_ arguments: [String]) -> String? {
    guard case .serve(let path)? = try? Command(arguments) else { return nil }
    return path
}

/// Sleeps; for commands that have nothing else to do.
func pause(_ span: Nanoseconds) {
    let (seconds, rest) = span.rawValue.quotientAndRemainder(dividingBy: 1_000_000_000)
    var left = timespec(tv_sec: Int(seconds), tv_nsec: Int(rest))
    while true {
        var wanted = left
        guard unsafe nanosleep(&wanted, &left) != 0, errno == EINTR else { return }
    }
}

func writeAll(_ text: String, to descriptor: CInt) {
    var rest = Array(text.utf8)[...]
    while !rest.isEmpty {
        let count = unsafe rest.withUnsafeBytes { unsafe write(descriptor, $0.baseAddress, $0.count) }
        if count < 0, errno == EINTR { continue }
        // Nobody reads what we say: there is nobody to tell.
        if count <= 0 { return }
        rest = rest.dropFirst(count)
    }
}
