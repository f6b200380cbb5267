import WeirBase
import WeirLoop
import WeirObserve

/// When the certificates in use end, for metrics. Every thread may tell and look; as many entries as the configuration
/// names files.
final class CertificateBoard: Sendable {
    enum Role: String, Sendable { case listener, upstream, admin }

    private struct Place: Hashable {
        var role: Role
        var file: String
    }

    private let expiries = Locked<[Place: WallTime]>([:])

    /// Takes over what a loaded file says; a file without a certificate of ours (only a CA) has nothing to say.
    func set(_ role: Role, _ file: String?, _ expiry: WallTime?) {
        guard let file, let expiry else { return }
        self.expiries.withLock { $0[Place(role: role, file: file)] = expiry }
    }

    var all: [ScrapedSeries.Certificate] {
        self.expiries.withLock { $0 }
            .map { .init(role: $0.key.role.rawValue, file: $0.key.file, expiry: $0.value) }
            .sorted { ($0.role, $0.file) < ($1.role, $1.file) }
    }
}
