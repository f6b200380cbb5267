import WeirBase
import WeirEngine
import WeirLoop
import WeirXDS

/// What is kept from clients, over all workers: kept up to date by the homes, so that looking costs them nothing and works
/// even when one of them is stuck. One entry for each type of a group that is held, and upstream that it is of.
final class HoldBoard: Sendable {
    struct Place: Hashable, Comparable, Sendable {
        var key: String
        var type: XDSType
        /// Types of a group may have names of several.
        var upstream: String

        static func < (a: Place, b: Place) -> Bool {
            (a.key, a.type.pushOrder, a.type.typeURL, a.upstream) < (
                b.key, b.type.pushOrder, b.type.typeURL, b.upstream
            )
        }
    }

    private let entries = Locked<[Place: HoldStatus]>([:])

    /// Returns whether it is a hold that was not there before, or is another one now.
    func set(_ status: HoldStatus, _ place: Place) -> Bool {
        let old = self.entries.withLock { entries in
            defer { entries[place] = status }
            return entries[place]
        }
        return old?.sinceInstant != status.sinceInstant || old?.reason != status.reason
    }

    func remove(_ place: Place) { self.entries.withLock { $0[place] = nil } }

    var all: [(place: Place, status: HoldStatus)] {
        self.entries.withLock { $0 }.sorted { $0.key < $1.key }.map { ($0.key, $0.value) }
    }

    /// Holds that `/ready` names; more are counted.
    private static let toldMax = 16

    /// One line for each, for people.
    func troubles(_ now: Instant) -> [String] {
        let all = self.all
        let told = all.prefix(Self.toldMax).map { place, status in
            "\(place.type.label) of key \"\(place.key)\" is held (\(status.reason.rawValue)) for "
                + "\((now - status.sinceInstant).seconds) s: \(status.detail)"
        }
        return told + (all.count > told.count ? ["\(all.count - told.count) more holds"] : [])
    }
}
