import Glibc
import WeirConfig
import WeirServer

/// `weir serve`: runs the relay until it is told to stop. With `weir store` the one place where the command line meets the server.
func serve(configurationPath: String) -> Int32 {
    let (configuration, diagnostics) = loadConfiguration(path: configurationPath, environment: processEnvironment())
    writeAll(diagnostics.map { "\($0)\n" }.joined(), to: STDERR_FILENO)
    guard let configuration = configuration else { return ExitStatus.invalid }
    let end = runRelay(configuration) {
        loadConfiguration(path: configurationPath, environment: processEnvironment())
    }
    switch end {
    case .stopped: return ExitStatus.fine
    case .stoppedInPart: _exit(ExitStatus.fine)
    case .failed: return ExitStatus.failed
    }
}
