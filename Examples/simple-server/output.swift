import Glibc

/// Writes a line at once, also where standard output is a file.
@Sendable func say(_ line: String) { writeLine(line, to: STDOUT_FILENO) }

/// Says what is wrong and ends.
func fail(_ message: String) -> Never {
    writeLine("simple-server: \(message)", to: STDERR_FILENO)
    exit(2)
}

private func writeLine(_ line: String, to descriptor: CInt) {
    var line = line + "\n"
    line.withUTF8 { bytes in unsafe _ = write(descriptor, bytes.baseAddress, bytes.count) }
}
