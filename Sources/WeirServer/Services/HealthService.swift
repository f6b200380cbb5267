import WeirBase
import WeirConfig
import WeirHTTP2
import WeirTransport
import WeirXDS

/// `grpc.health.v1.Health` of one worker (SVC-09).
///
/// The relay serves while it can answer from its cache, whatever its upstreams do; it does not while it starts or
/// drains, nor, if so configured, before any upstream has ever answered.
final class HealthService {
    private let shared: RelayShared
    private var watches: [ObjectIdentifier: Watch] = [:]
    /// What those who watch know, or are being told.
    private var told: ServingStatus

    init(shared: RelayShared) {
        self.shared = shared
        self.told = Self.status(shared)
    }

    private static func status(_ shared: RelayShared) -> ServingStatus {
        guard shared.lifecycle.state == .live else { return .notServing }
        let waitsForUpstream = shared.configuration.downstream.health.coldStart == .notServing
        return waitsForUpstream && shared.isCold ? .notServing : .serving
    }

    func open(_ method: ServiceMethod, _ call: ServiceCall) -> any ServiceStream {
        switch method {
        case .healthWatch:
            call.connection.respond(call.stream)
            return Watch(self, call)
        case .healthList:
            return UnaryCall(call) { [unowned self] call, _ in
                call.send(HealthMessages.list(Self.status(self.shared)))
                call.finish(.ok)
            }
        default: return UnaryCall(call) { [unowned self] call, bytes in self.check(call, bytes) }
        }
    }

    private func check(_ call: ServiceCall, _ bytes: Span<UInt8>) {
        do throws(WireError) {
            let service = try HealthMessages.service(decoding: bytes)
            guard HealthMessages.services.contains(service) else {
                return call.finish(.notFound, "weir does not serve \"\(service)\"")
            }
            call.send(Self.status(self.shared).encoded)
            call.finish(.ok)
        } catch {
            call.refuse(error, as: "HealthCheckRequest")
        }
    }

    /// Tells those who watch if the status has changed.
    func refresh() {
        let status = Self.status(self.shared)
        guard status != self.told else { return }
        self.told = status
        for watch in self.watches.values { watch.tell() }
    }

    /// A stream of Watch: the present status, and then every change.
    private final class Watch: ServiceStream {
        /// Ends with the worker; calls are over before.
        private unowned let service: HealthService
        private let call: ServiceCall
        private var isAsked = false
        private var isUnknown = false
        private var told: ServingStatus?

        init(_ service: HealthService, _ call: ServiceCall) {
            self.service = service
            self.call = call
        }

        func message(_ bytes: Span<UInt8>) {
            guard !self.isAsked else { return }
            self.isAsked = true
            do throws(WireError) {
                self.isUnknown = !HealthMessages.services.contains(try HealthMessages.service(decoding: bytes))
            } catch {
                return self.call.refuse(error, as: "HealthCheckRequest")
            }
            self.service.watches[ObjectIdentifier(self)] = self
            // From here on it is told changes from what it is told now.
            self.service.refresh()
            self.tell()
        }

        /// A client that does not read is told the newest status when it does.
        func tell() {
            let status = self.isUnknown ? ServingStatus.serviceUnknown : HealthService.status(self.service.shared)
            guard self.isAsked, status != self.told, self.call.pending == 0 else { return }
            self.told = status
            self.call.send(status.encoded)
        }

        func halfClosed() {
            if !self.isAsked { self.call.finish(.unimplemented, "Watch takes one request, and there was none") }
        }

        func drained() { self.tell() }
        func closed() { self.service.watches[ObjectIdentifier(self)] = nil }
    }
}
