import CLibFuzzer
import Glibc
import WeirFuzzEntries

// The program that `make fuzz` runs: libFuzzer with its own command line, for the target that WEIR_FUZZ_TARGET names.
// An environment variable, because libFuzzer starts this program again with arguments of its own.

private let target: FuzzTarget? = unsafe getenv("WEIR_FUZZ_TARGET").flatMap {
    unsafe FuzzTarget(rawValue: String(cString: $0))
}

/// Never returns normally but by libFuzzer's `exit`.
func runFuzzer() -> CInt {
    guard target != nil else {
        print("WEIR_FUZZ_TARGET must be one of " + FuzzTarget.allCases.map(\.rawValue).joined(separator: ", "))
        return 2
    }
    var count = CommandLine.argc
    var arguments: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>? = unsafe CommandLine.unsafeArgv
    return unsafe LLVMFuzzerRunDriver(&count, &arguments, fuzzedInput)
}

@c(weir_fuzzed_input)
private func fuzzedInput(_ bytes: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    do throws(FuzzFinding) {
        try target?.run(unsafe Array(UnsafeBufferPointer(start: bytes, count: count)))
        return 0
    } catch {
        let text = Array("FINDING: \(error.description)\n".utf8)
        _ = unsafe write(STDERR_FILENO, text, text.count)
        abort()
    }
}
