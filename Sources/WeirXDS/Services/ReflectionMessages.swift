import WeirBase

/// A `ServerReflectionRequest`; v1 and v1alpha are the same bytes.
package struct ReflectionRequest: Hashable, Sendable {
    package enum Question: Hashable, Sendable {
        case fileByName(String)
        case fileContainingSymbol(String)
        case fileContainingExtension(of: String, number: Int)
        case allExtensionNumbers(of: String)
        case listServices
    }

    package var host = ""
    /// Nil: none that is known.
    package var question: Question?

    package init(decoding bytes: borrowing Span<UInt8>) throws(WireError) {
        var reader = WireReader(ByteRange(offset: 0, count: bytes.count))
        while let field = try reader.next(in: bytes) {
            switch field.number {
            case 1: self.host = bytes.string(try field.bytes())
            case 3: self.question = .fileByName(bytes.string(try field.bytes()))
            case 4: self.question = .fileContainingSymbol(bytes.string(try field.bytes()))
            case 5: self.question = try Self.extension(try field.bytes(), bytes)
            case 6: self.question = .allExtensionNumbers(of: bytes.string(try field.bytes()))
            case 7: self.question = .listServices
            default: break
            }
        }
    }

    private static func `extension`(
        _ range: ByteRange, _ bytes: borrowing Span<UInt8>
    ) throws(WireError) -> Question {
        var type = ""
        var number = 0
        var reader = WireReader(range)
        while let field = try reader.next(in: bytes) {
            switch field.number {
            case 1: type = bytes.string(try field.bytes())
            case 2: number = Int(truncatingIfNeeded: try field.varint())
            default: break
            }
        }
        return .fileContainingExtension(of: type, number: number)
    }
}

/// Answers one reflection stream's questions (SVC-09). Remembers which files it has sent, as a client needs each once.
package struct ReflectionAnswerer: Sendable {
    private let catalog: DescriptorCatalog?
    private var sent: Set<Int> = []

    /// - Parameter catalog: nil: there are no descriptors, and only the names of services can be told.
    package init(catalog: DescriptorCatalog?) { self.catalog = catalog }

    private enum Code {
        static let invalidArgument: UInt64 = 3
        static let notFound: UInt64 = 5
    }

    /// The `ServerReflectionResponse` to a request.
    package mutating func answer(_ bytes: borrowing Span<UInt8>) throws(WireError) -> [UInt8] {
        let request = try ReflectionRequest(decoding: bytes)
        var writer = WireWriter()
        writer.string(1, request.host)
        writer.message(2, ByteRange(offset: 0, count: bytes.count), of: bytes)
        switch request.question {
        case .listServices?: writer.message(6, Self.services())
        case nil: Self.fail(Code.invalidArgument, "the request has no message_request that is known", &writer)
        case .some(let question):
            guard let catalog = self.catalog else {
                let text = "this relay has no descriptors: xds-descriptors.binpb was not found beside the program"
                Self.fail(Code.notFound, text, &writer)
                break
            }
            self.answer(question, catalog, &writer)
        }
        return writer.bytes
    }

    private mutating func answer(
        _ question: ReflectionRequest.Question, _ catalog: DescriptorCatalog, _ writer: inout WireWriter
    ) {
        switch question {
        case .fileByName(let name):
            self.send(catalog.file(named: name), "file \"\(name)\"", catalog, &writer)
        case .fileContainingSymbol(let symbol):
            self.send(catalog.file(defining: symbol), "symbol \"\(symbol)\"", catalog, &writer)
        case .fileContainingExtension(let type, let number):
            let file = catalog.file(extending: type, number: number)
            self.send(file, "extension \(number) of \"\(type)\"", catalog, &writer)
        case .allExtensionNumbers(let type):
            guard let numbers = catalog.extensionNumbers(of: type) else {
                return Self.fail(Code.notFound, "message \"\(type)\" is not in the descriptors", &writer)
            }
            var answer = WireWriter()
            answer.string(1, type)
            var packed = WireWriter()
            for number in numbers { packed.varint(UInt64(number)) }
            if !numbers.isEmpty { answer.message(2, packed.bytes) }
            writer.message(5, answer.bytes)
        case .listServices: writer.message(6, Self.services())
        }
    }

    private mutating func send(
        _ file: Int?, _ what: String, _ catalog: DescriptorCatalog, _ writer: inout WireWriter
    ) {
        guard let file = file else {
            return Self.fail(Code.notFound, "\(what) is not in the descriptors", &writer)
        }
        var answer = WireWriter()
        for index in catalog.closure(of: file) where index == file || !self.sent.contains(index) {
            self.sent.insert(index)
            answer.message(1, catalog.encoded(index))
        }
        writer.message(4, answer.bytes)
    }

    private static func services() -> [UInt8] {
        var writer = WireWriter()
        for service in ServiceMethod.servedServices.sorted() {
            var entry = WireWriter()
            entry.string(1, service)
            writer.message(1, entry.bytes)
        }
        return writer.bytes
    }

    private static func fail(_ code: UInt64, _ message: String, _ writer: inout WireWriter) {
        var error = WireWriter()
        error.uint(1, code)
        error.string(2, message)
        writer.message(7, error.bytes)
    }
}
