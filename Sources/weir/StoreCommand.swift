import WeirConfig
import WeirServer

/// `weir store`. Writes as it goes, for a store may be larger than memory.
func store(
    _ options: Command.Store, environment: [String: String], write: (String) -> Void
) -> CommandResult {
    let action: StoreRequest.Action =
        switch options.action {
        case .inspect: .inspect
        case .verify: .verify
        case .export: .export
        }
    var request = StoreRequest(action: action, path: options.path, key: options.key)
    request.isBeforeUse = options.isBeforeUse
    if !options.config.isEmpty {
        let (configuration, diagnostics) = loadConfiguration(path: options.config, environment: environment)
        guard let configuration = configuration else {
            return CommandResult(errors: diagnostics.map { "\($0)\n" }.joined(), status: ExitStatus.invalid)
        }
        guard let store = configuration.cache.store else {
            return CommandResult(
                errors: "weir: \(options.config) has no cache.store\n", status: ExitStatus.invalid)
        }
        request.path = store.path
        request.encryptionKey = store.encryptionKey
    }
    switch runStoreCommand(request, write: write) {
    case .fine: return CommandResult()
    case .damaged: return CommandResult(status: ExitStatus.failed)
    case .failed(let reason): return CommandResult(errors: "weir: \(reason)\n", status: ExitStatus.failed)
    }
}
