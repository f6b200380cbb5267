import CCurl
import CWeirShims

/// What libcurl's write callback is given: collects a body, or cuts it into lines.
///
/// Alive for one transfer, on one thread. The callback never throws; what stops it is kept here.
final class Receiver {
    enum Stop { case tooLarge, listenerIsDone }

    /// Bytes of the body, or of one line, that are taken.
    let limit: Int
    /// Nil: the body is collected. It answers whether it wants more.
    private let onLine: ((String) -> Bool)?
    private(set) var body: [UInt8] = []
    private(set) var stop: Stop?

    init(bytesMax: Int, onLine: ((String) -> Bool)? = nil) {
        self.limit = bytesMax
        self.onLine = onLine
    }

    /// Whether the transfer goes on. Lines are cut only from answers of status 200; others are errors to be read whole.
    func take(_ bytes: UnsafeBufferPointer<UInt8>, status: Int) -> Bool {
        guard bytes.count <= self.limit - self.body.count else {
            self.stop = .tooLarge
            return false
        }
        unsafe self.body.append(contentsOf: bytes)
        guard let onLine = self.onLine, status == 200 else { return true }
        var start = 0
        while let end = self.body[start...].firstIndex(of: UInt8(ascii: "\n")) {
            var line = self.body[start..<end]
            if line.last == UInt8(ascii: "\r") { line = line.dropLast() }
            start = end + 1
            guard onLine(String(decoding: line, as: UTF8.self)) else {
                self.stop = .listenerIsDone
                return false
            }
        }
        if start > 0 { self.body.removeFirst(start) }
        return true
    }
}

/// The easy handle is the receiver's neighbour in this box, as its status is asked for while bytes come in.
@safe final class Transfer {
    let handle: UnsafeMutableRawPointer
    let receiver: Receiver

    init(handle: UnsafeMutableRawPointer, receiver: Receiver) {
        unsafe self.handle = handle
        self.receiver = receiver
    }

    var status: Int {
        var status = 0
        unsafe weir_curl_get_number(self.handle, CURLINFO_RESPONSE_CODE, &status)
        return status
    }
}

@c(weir_http_client_write)
func httpClientWrite(
    _ bytes: UnsafeMutablePointer<CChar>?, _ size: Int, _ count: Int, _ context: UnsafeMutableRawPointer?
) -> Int {
    guard let bytes = unsafe bytes, let context = unsafe context else { return 0 }
    let transfer = unsafe Unmanaged<Transfer>.fromOpaque(context).takeUnretainedValue()
    // libcurl says of `size` that it is always 1.
    let buffer = unsafe UnsafeBufferPointer(
        start: UnsafeRawPointer(bytes).assumingMemoryBound(to: UInt8.self), count: count)
    return unsafe transfer.receiver.take(buffer, status: transfer.status) ? count : 0
}
