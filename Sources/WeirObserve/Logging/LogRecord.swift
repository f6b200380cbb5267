package import WeirBase

/// How much a record matters, rising.
package enum LogLevel: Int, Comparable, Sendable, CaseIterable {
    case debug
    case info
    case warning
    case error

    /// The level of a name as written in configuration (`debug`, `info`, `warning` or `warn`, `error`), or nil.
    package init?(_ name: String) {
        switch name {
        case "debug": self = .debug
        case "info": self = .info
        case "warning", "warn": self = .warning
        case "error": self = .error
        default: return nil
        }
    }

    package var name: String {
        switch self {
        case .debug: "debug"
        case .info: "info"
        case .warning: "warning"
        case .error: "error"
        }
    }

    package static func < (a: LogLevel, b: LogLevel) -> Bool { a.rawValue < b.rawValue }
}

/// One line of the log before it has a form.
package struct LogRecord: Sendable {
    package var level: LogLevel
    package var wall: WallTime
    /// A fixed sentence of ours; what varies stands in the fields.
    package var message: String
    /// In the order they are shown. Values may come from peers and hold anything.
    package var fields: [(String, String)]

    package init(_ level: LogLevel, _ wall: WallTime, _ message: String, _ fields: [(String, String)] = []) {
        self.level = level
        self.wall = wall
        self.message = message
        self.fields = fields
    }
}
