import Glibc

/// A system call that failed.
package struct SystemError: Error, Hashable, Sendable, CustomStringConvertible {
    /// `errno`.
    package let code: CInt
    /// What was tried, in words: `listen`, `connect`.
    package let operation: String
    /// On what: an address, a path; empty if there is nothing to say.
    package let subject: String

    package init(code: CInt, operation: String, subject: String = "") {
        self.code = code
        self.operation = operation
        self.subject = subject
    }

    /// `listen on 127.0.0.1:18000: Address already in use`
    package var description: String {
        (self.subject.isEmpty ? self.operation : "\(self.operation) \(self.subject)") + ": " + Self.text(self.code)
    }

    /// The process or the machine has run out of descriptors or memory. Trying again at once would spin: pause.
    package var isExhaustion: Bool { [EMFILE, ENFILE, ENOBUFS, ENOMEM].contains(self.code) }

    /// The peer went away; nothing to tell an operator.
    package var isDisconnect: Bool { [ECONNRESET, EPIPE, ENOTCONN, ECONNABORTED].contains(self.code) }

    package static func text(_ code: CInt) -> String {
        guard let text = unsafe strerror(code) else { return "error \(code)" }
        return unsafe String(cString: text)
    }
}

/// A result of a system call, or its `errno`, read before anything else can run.
@inline(__always)
func retrying<Result: SignedInteger>(_ call: () -> Result) -> (result: Result, code: CInt) {
    while true {
        let result = call()
        let code = result < 0 ? errno : 0
        if code != EINTR { return (result, code) }
    }
}
