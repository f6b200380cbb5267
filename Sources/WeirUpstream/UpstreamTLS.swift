import WeirBase
import WeirLoop
import WeirObserve
import WeirTLS

/// The TLS side of one upstream: its context, and the watch on its files. A rotated pair, or another CA, serves new
/// connections; those there are go on. Confined to the client's loop.
final class UpstreamTLS {
    private let files: TLSClientConfiguration
    private(set) var context: TLSContext?
    /// Why there is no context.
    private(set) var error: String?
    private var watchers: [PathWatcher] = []

    init(_ files: TLSClientConfiguration, upstream: String, loop: Loop, observer: any UpstreamObserver) {
        self.files = files
        self.load(observer)
        let paths = [files.ca, files.certificateChain, files.privateKey].compactMap { $0 }
        self.watchers = paths.map { path in
            PathWatcher(loop: loop, path: path) { [weak self] in self?.reload(upstream, path, observer) }
        }
    }

    /// Returns why the files cannot be used; then what was loaded before stays.
    @discardableResult
    private func load(_ observer: any UpstreamObserver) -> String? {
        do throws(TLSError) {
            self.context = try TLSContext.client(self.files)
            self.error = nil
            observer.upstreamLoaded(certificate: self.files.certificateChain, expiry: self.context?.certificateExpiry)
            return nil
        } catch {
            if self.context == nil { self.error = error.description }
            return error.description
        }
    }

    private func reload(_ upstream: String, _ path: String, _ observer: any UpstreamObserver) {
        guard let error = self.load(observer) else {
            return observer.note(.info, "upstream TLS files reloaded", [("upstream", upstream), ("file", path)])
        }
        // Half a rotation: the other file will change too. The old pair goes on serving.
        observer.note(
            .warning, "upstream TLS files not reloaded, the old ones stay",
            [("upstream", upstream), ("file", path), ("error", error)])
    }

    func cancel() { for watcher in self.watchers { watcher.cancel() } }
}
