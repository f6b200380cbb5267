import CMicrohttpd
import Glibc
import WeirBase

/// One request while it arrives and is answered. Confined to libmicrohttpd's thread, which keeps the reference.
final class Exchange {
    /// What the access callback returns to libmicrohttpd.
    enum Verdict {
        case goOn
        case send(Answer)
        case drop
    }

    private enum Stage {
        case head
        case body
        case waiting
        case answered
    }

    private let endpoint: Endpoint
    private let id: Desk.ExchangeID
    private var stage = Stage.head
    private var body: [UInt8] = []
    private var droppedBytes = 0

    init(endpoint: Endpoint) {
        self.endpoint = endpoint
        self.id = endpoint.desk.open()
    }

    deinit { self.endpoint.desk.close(self.id) }

    /// libmicrohttpd calls once for the head, then for each piece of the body, then once without bytes, and once more
    /// after each resumption.
    ///
    /// - Parameter upload: body bytes, all of which are taken.
    func advance(_ connection: OpaquePointer, method: String, path: String, upload: UnsafeBufferPointer<UInt8>)
        -> Verdict
    {
        switch self.stage {
        case .head:
            self.stage = .body
            let announced = unsafe header(connection, "Content-Length").flatMap { UInt64($0) } ?? 0
            if let check = self.endpoint.options.admit {
                let head = unsafe self.request(connection, method: method, path: path)
                if let refusal = check(head) { return self.finish(refusal.answer) }
            }
            return announced > UInt64(self.endpoint.options.bodyBytesMax) ? self.finish(self.tooLarge) : .goOn
        case .body where !upload.isEmpty:
            return unsafe self.receive(upload) ? .goOn : .drop
        case .body where self.droppedBytes > 0:
            return self.finish(self.tooLarge)
        case .body:
            self.stage = .waiting
            let request = unsafe self.request(connection, method: method, path: path)
            self.endpoint.handler(request, HTTPResponder(desk: self.endpoint.desk, id: self.id))
            return unsafe self.answer(connection)
        case .waiting:
            return unsafe self.answer(connection)
        case .answered:
            return .drop
        }
    }

    private var tooLarge: Answer {
        Answer.error(413, "the body is too large: at most \(self.endpoint.options.bodyBytesMax) bytes are accepted")
    }

    private func finish(_ answer: Answer) -> Verdict {
        self.stage = .answered
        return .send(answer)
    }

    private func answer(_ connection: OpaquePointer) -> Verdict {
        guard let answer = unsafe self.endpoint.desk.takeAnswerOrSuspend(self.id, connection) else { return .goOn }
        return self.finish(answer)
    }

    /// False once more was dropped than is decent.
    private func receive(_ upload: UnsafeBufferPointer<UInt8>) -> Bool {
        if self.droppedBytes == 0, upload.count <= self.endpoint.options.bodyBytesMax - self.body.count {
            unsafe self.body.append(contentsOf: upload)
            return true
        }
        self.body = []
        self.droppedBytes += upload.count
        return self.droppedBytes <= HTTPServerLimits.droppedBytesMax
    }

    private func request(_ connection: OpaquePointer, method: String, path: String) -> HTTPRequest {
        defer { self.body = [] }
        return unsafe HTTPRequest(
            method: method, path: percentDecoded(path), rawPath: path, query: queryArguments(connection),
            host: header(connection, "Host"),
            accept: header(connection, "Accept"), acceptEncoding: header(connection, "Accept-Encoding"),
            ifNoneMatch: header(connection, "If-None-Match"), ifMatch: header(connection, "If-Match"),
            contentType: header(connection, "Content-Type"),
            contentEncoding: header(connection, "Content-Encoding"),
            authorization: header(connection, "Authorization"),
            origin: header(connection, "Origin"),
            fetchSite: header(connection, "Sec-Fetch-Site"), peer: peerText(weir_mhd_client(connection)),
            body: self.body)
    }
}

private func header(_ connection: OpaquePointer, _ name: String) -> String? {
    guard let value = unsafe MHD_lookup_connection_value(connection, MHD_ValueKind.HEADER_KIND, name) else {
        return nil
    }
    return unsafe String(cString: value)
}

/// Collects what libmicrohttpd's iterator hands out.
private final class ArgumentList {
    var arguments: [(name: String, value: String)] = []
}

private func queryArguments(_ connection: OpaquePointer) -> [(name: String, value: String)] {
    let list = ArgumentList()
    _ = unsafe MHD_get_connection_values_n(
        connection, MHD_ValueKind.GET_ARGUMENT_KIND, queryArgumentFound, Unmanaged.passUnretained(list).toOpaque())
    return withExtendedLifetime(list) { list.arguments }
}

@c(weir_http1_query_argument_found)
func queryArgumentFound(
    _ context: UnsafeMutableRawPointer?, _ kind: MHD_ValueKind, _ name: UnsafePointer<CChar>?, _ nameBytes: Int,
    _ value: UnsafePointer<CChar>?, _ valueBytes: Int
) -> MHD_Result {
    guard let context = unsafe context else { return .NO }
    let list = unsafe Unmanaged<ArgumentList>.fromOpaque(context).takeUnretainedValue()
    list.arguments.append(
        (percentDecoded(unsafe text(name, nameBytes)), percentDecoded(unsafe text(value, valueBytes))))
    return .YES
}

/// `count` bytes as text; bytes that are no UTF-8 become U+FFFD.
private func text(_ start: UnsafePointer<CChar>?, _ count: Int) -> String {
    guard let start = unsafe start else { return "" }
    return unsafe String(
        decoding: UnsafeRawBufferPointer(start: UnsafeRawPointer(start), count: count), as: UTF8.self)
}
