import WeirBase
import WeirHTTP2
import WeirXDS

/// One stream of server reflection: an answer to each question, in order (SVC-09).
final class ReflectionStream: ServiceStream {
    private let call: ServiceCall
    private var answerer: ReflectionAnswerer

    /// Answers on their way to a client, until its further questions wait. One may be some hundred kilobytes.
    private static let pendingMax = 4

    init(_ call: ServiceCall, catalog: DescriptorCatalog?) {
        self.call = call
        self.answerer = ReflectionAnswerer(catalog: catalog)
    }

    func message(_ bytes: Span<UInt8>) {
        do throws(WireError) {
            self.call.send(try self.answerer.answer(bytes))
        } catch {
            return self.call.refuse(error, as: "ServerReflectionRequest")
        }
        if self.call.pending >= Self.pendingMax { self.call.pause() }
    }

    func halfClosed() { self.call.finish(.ok) }
    func drained() { self.call.resume() }
}
