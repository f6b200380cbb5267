import WeirBase
import WeirConfig
import WeirLoop
import WeirRules
import WeirObserve
import WeirTLS

/// The TLS side of one listener: its context, and the watch on its files. A rotated pair serves new connections; those
/// there are keep theirs. Confined to the worker's loop.
final class ListenerTLS {
    private let files: ServerTLSConfiguration
    private(set) var context: TLSContext
    private var watchers: [PathWatcher] = []

    init(_ files: ServerTLSConfiguration) throws(StartError) {
        self.files = files
        do throws(TLSError) {
            self.context = try Self.make(files)
        } catch {
            throw StartError("downstream.listeners.tls: \(error)")
        }
    }

    private static func make(_ files: ServerTLSConfiguration) throws(TLSError) -> TLSContext {
        try TLSContext.server(
            TLSServerConfiguration(
                certificateChain: files.certificateChain, privateKey: files.privateKey, clientCA: files.clientCA,
                allowedSANs: files.allowedSANs.map(\.text),
                minimumVersion: files.minimumVersion == .tls13 ? .v1_3 : .v1_2))
    }

    /// Tells `onChange` the new context whenever the files have changed and fit together.
    func watch(_ loop: Loop, _ shared: RelayShared, onChange: @escaping (TLSContext) -> Void) {
        self.tellExpiry(shared)
        let paths = [self.files.certificateChain, self.files.privateKey] + (self.files.clientCA.map { [$0] } ?? [])
        self.watchers = paths.map { path in
            PathWatcher(loop: loop, path: path) { [weak self] in self?.reload(shared, onChange) }
        }
    }

    private func tellExpiry(_ shared: RelayShared) {
        shared.certificates.set(.listener, self.files.certificateChain, self.context.certificateExpiry)
    }

    private func reload(_ shared: RelayShared, _ onChange: (TLSContext) -> Void) {
        do throws(TLSError) {
            self.context = try Self.make(self.files)
            onChange(self.context)
            self.tellExpiry(shared)
            shared.logger.log(.info, "certificate reloaded", [("file", self.files.certificateChain)])
        } catch {
            // Half a rotation: the other file will change too. The old pair goes on serving.
            shared.logger.log(
                .warning, "certificate not reloaded, the old one stays",
                [("file", self.files.certificateChain), ("error", error.description)])
        }
    }

    func cancel() { for watcher in self.watchers { watcher.cancel() } }
}
