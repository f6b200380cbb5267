package import WeirBase
package import WeirRules
package import WeirXDS

/// A whole relay.yaml, checked: every value is within its range, every name resolves, every path is complete.
///
/// The values of a property's declaration are the defaults.
package struct RelayConfiguration: Hashable, Sendable {
    /// The file it was read from, as it was named.
    package var path: String
    package var downstream = DownstreamConfiguration()
    /// In the order of the file; the first is the default. Never empty.
    package var upstreams: [UpstreamConfiguration]
    package var aggregation: AggregationRules
    /// Which verified names may claim which nodes.
    package var identity = IdentityRules()
    package var cache = CacheConfiguration()
    package var guards = GuardConfiguration()
    package var checks = CheckConfiguration()
    package var admin = AdminConfiguration()
    package var log = LogConfiguration()
    /// Where spans go; nil: none are made.
    package var tracing: TracingConfiguration?
    /// Number of loops; 0: one per core.
    package var workers = 0

    package init(path: String, upstreams: [UpstreamConfiguration], aggregation: AggregationRules) {
        self.path = path
        self.upstreams = upstreams
        self.aggregation = aggregation
    }

    /// The upstream of a name. Rules name only upstreams that exist.
    package func upstream(named name: String) -> UpstreamConfiguration? {
        self.upstreams.first { $0.name == name }
    }

    /// The name of the upstream that each authority belongs to.
    package var upstreamsByAuthority: [String: String] {
        var names: [String: String] = [:]
        for upstream in self.upstreams { for authority in upstream.authorities { names[authority] = upstream.name } }
        return names
    }
}

/// `cache`.
package struct CacheConfiguration: Hashable, Sendable {
    /// How long a name, or a whole group, outlives its last subscriber.
    package var linger = Nanoseconds.seconds(30)
    /// Over it a newcomer that needs a new group is refused with RESOURCE_EXHAUSTED.
    package var groupsMax = 10_000
    /// The last good state on disk; nil: none is kept.
    package var store: StoreConfiguration?
    /// Sibling relays that a cold group is filled from while its upstream cannot be reached.
    package var warmFrom: [EndpointAddress] = []
    /// How to connect to them; nil: plaintext.
    package var warmTLS: ClientTLSConfiguration?
}

/// `guards`.
package struct GuardConfiguration: Hashable, Sendable {
    package enum EmptyPush: String, Hashable, Sendable, CaseIterable { case hold, allow }

    /// `rollout`: pushes in stages.
    package struct Rollout: Hashable, Sendable {
        package enum First: Hashable, Sendable {
            case streams(Int)
            case percent(Int)
        }

        /// How many streams get a push first.
        package var first = First.streams(1)
        /// How long they have to answer.
        package var wait = Nanoseconds.seconds(5)
        /// More rejections than this among them hold the push.
        package var nackPercentMax = 0
        /// The types it is for; nil: all but endpoints.
        package var types: Set<XDSType>?
    }

    /// What becomes of a push that removes every resource of a full-set type.
    package var emptyPush = EmptyPush.hold
    /// Smaller sets may always become empty.
    package var emptyPushMin = 10
    /// Over 0: a push that removes at least this share of such a set is held too.
    package var shrinkPercent = 0
    /// How many earlier states of each type of a group are kept.
    package var history = 4
    package var rollout: Rollout?
}

/// `admin`: the debug endpoint.
package struct AdminConfiguration: Hashable, Sendable {
    package var address = EndpointAddress.network(host: "127.0.0.1", port: 9901)
    /// A file with bearer tokens; nil: none is asked for.
    package var tokenFile: String?
    /// Nil: plaintext.
    package var tls: AdminTLSConfiguration?
    /// How many groups have series of their own in the metrics, those with the most streams; 0: none.
    package var metricsKeys = 0
    package var history = HistoryConfiguration()
}

/// `admin.history`.
package struct HistoryConfiguration: Hashable, Sendable {
    /// Pushes that are kept of each type of a group; 0: none.
    package var pushes = 50
    /// Bytes of all of them.
    package var bytes = 16 << 20
}

/// `admin.tls`. The files existed when the configuration was read.
package struct AdminTLSConfiguration: Hashable, Sendable {
    package var certificateChain: String
    package var privateKey: String
}

/// `log`.
package struct LogConfiguration: Hashable, Sendable {
    package enum Level: String, Hashable, Sendable, CaseIterable { case debug, info, warning, error }
    package enum Format: String, Hashable, Sendable, CaseIterable { case text, json }

    package var level = Level.info
    package var format = Format.text
}
