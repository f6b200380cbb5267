import WeirBase
import WeirHTTP2
import WeirLoop
import WeirTLS

extension Link {
    /// One TLS record holds at most this much plaintext.
    private static let recordBytesMax = 16_384

    /// Gathers frames into records that are as large as TLS allows: a frame header alone in a record would cost more
    /// than its copy.
    func encrypt(_ output: OutputQueue, _ tls: TLSSession) throws(LinkFailure) {
        var failure: TLSError?
        self.transport.record.removeAll(keepingCapacity: true)
        for index in 0..<output.segmentCount where failure == nil {
            unsafe output.withSegment(index) { bytes in
                var rest = unsafe bytes[...]
                while unsafe !rest.isEmpty, failure == nil {
                    let room = Self.recordBytesMax - self.transport.record.count
                    unsafe self.transport.record.append(contentsOf: rest.prefix(room))
                    unsafe rest = rest.dropFirst(room)
                    if self.transport.record.count == Self.recordBytesMax { failure = self.seal(tls) }
                }
            }
        }
        if failure == nil { failure = self.seal(tls) }
        if let failure {
            throw LinkFailure(cause: .peer, reason: "TLS connection with \(self.peer) failed: \(failure)")
        }
    }

    private func seal(_ tls: TLSSession) -> TLSError? {
        // A span of a class's array may not leave it; swapped out it costs no copy.
        var record: [UInt8] = []
        swap(&record, &self.transport.record)
        defer {
            record.removeAll(keepingCapacity: true)
            swap(&record, &self.transport.record)
        }
        do throws(TLSError) {
            try tls.write(record.span)
            return nil
        } catch {
            return error
        }
    }

    /// All records that wait, with as few system calls as the socket allows.
    func writeCiphertext(_ descriptor: CInt) throws(SystemError) -> Bool {
        guard let tls = self.tls else { return true }
        var failure: SystemError?
        var isFull = false
        while tls.pendingCiphertext > 0, !isFull, failure == nil {
            tls.takeCiphertext(upTo: .max) { bytes in
                do throws(SystemError) {
                    switch try Socket.write(descriptor, bytes) {
                    case .bytes(let count): return count
                    case .wouldBlock: isFull = true
                    }
                } catch {
                    failure = error
                }
                return 0
            }
        }
        if let failure { throw failure }
        return !isFull
    }
}
