/// How near the process is to its memory budget, and what is given up then, in this order. Each stage includes those
/// before it; what is served already is never given up while its client reads.
package enum MemoryPressure: Int, Hashable, Sendable, CaseIterable, Comparable {
    case none
    /// From nine tenths of the budget: new connections are closed.
    case refusingConnections
    /// From nineteen twentieths: new streams end RESOURCE_EXHAUSTED.
    case refusingStreams
    /// From the whole budget: streams that are not read end, too.
    case droppingReaders

    /// - Parameter budget: 0: none.
    package init(used: Int, budget: Int) {
        let twentieth = budget / 20
        switch used {
        case _ where budget <= 0: self = .none
        case budget...: self = .droppingReaders
        case (twentieth * 19)...: self = .refusingStreams
        case (twentieth * 18)...: self = .refusingConnections
        default: self = .none
        }
    }

    package static func < (a: MemoryPressure, b: MemoryPressure) -> Bool { a.rawValue < b.rawValue }

    /// For people.
    package var name: String {
        switch self {
        case .none: "none"
        case .refusingConnections: "refusing connections"
        case .refusingStreams: "refusing streams"
        case .droppingReaders: "dropping clients that do not read"
        }
    }
}
