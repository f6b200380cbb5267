import WeirBase
import WeirConfig
import WeirHTTP1
import WeirLoop

/// Who may use the debug endpoint: everybody, or, with `admin.token_file`, who knows a token. Any thread.
final class AdminAccess: Sendable {
    enum Caller: Equatable {
        /// `anonymous` where no token is asked for, else the token's name.
        case known(String)
        case unknown
    }

    /// The name of callers where no token is asked for.
    static let anonymous = "anonymous"
    /// For probes, which have no token: no more than that it serves or turns.
    private static let openPaths: Set<String> = ["/ready", "/live"]
    private static let tokenBytesMax = 1 << 20

    private let tokenFile: Locked<String?>

    init(_ configuration: AdminConfiguration) { self.tokenFile = Locked(configuration.tokenFile) }

    func set(_ configuration: AdminConfiguration) { self.tokenFile.withLock { $0 = configuration.tokenFile } }

    /// Whether a token is asked for, from now on.
    var wantsToken: Bool { self.tokenFile.withLock { $0 != nil } }

    func caller(of request: HTTPRequest) -> Caller {
        guard let path = self.tokenFile.withLock({ $0 }) else { return .known(Self.anonymous) }
        if Self.openPaths.contains(request.path), request.method != "POST" { return .known(Self.anonymous) }
        return Self.name(of: request.authorization, in: path).map { .known($0) } ?? .unknown
    }

    /// Whose token an `Authorization` header presents, if the file has it.
    static func name(of authorization: String?, in path: String) -> String? {
        guard let presented = self.bearerToken(authorization) else { return nil }
        // Read each time: a token that was changed or taken away counts at once. A file that cannot be read has none.
        let bytes = ProcessReader.readBytes(path) ?? []
        guard bytes.count <= self.tokenBytesMax else { return nil }
        // All are compared, so that the time does not tell which one came near.
        var name: String?
        for token in AdminTokens.read(bytes) where token.matches(presented) { name = token.name }
        return name
    }

    private static func bearerToken(_ header: String?) -> [UInt8]? {
        guard let header = header, header.lowercased().hasPrefix("bearer ") else { return nil }
        let token = header.dropFirst("bearer ".count).drop { $0 == " " }
        return token.isEmpty ? nil : Array(token.utf8)
    }
}
