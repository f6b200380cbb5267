import WeirConfig

/// `weir check`: `OK` or every error on standard output. Warnings go to standard error while the file is valid.
func check(_ path: String, environment: [String: String]) -> CommandResult {
    let (configuration, diagnostics) = loadConfiguration(path: path, environment: environment)
    let lines = diagnostics.map { "\($0)\n" }.joined()
    guard configuration != nil else {
        return CommandResult(output: lines, status: ExitStatus.invalid)
    }
    return CommandResult(output: "OK\n", errors: lines)
}
