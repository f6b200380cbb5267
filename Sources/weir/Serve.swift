import Glibc

/// Runs the relay until it is told to stop. The one place where the command line meets the server.
func serve(configurationPath: String) -> Int32 {
    writeAll("weir: serve is not linked into this build yet (\(configurationPath))\n", to: STDERR_FILENO)
    return ExitStatus.failed
}
