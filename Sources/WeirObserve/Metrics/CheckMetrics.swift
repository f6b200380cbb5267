/// Metrics of what the relay looks at by itself (`checks`).
package final class CheckMetrics: Sendable {
    /// How a look for drift ended.
    package enum DriftOutcome: String, CaseIterable, Sendable {
        /// The control plane says what is held.
        case same
        /// It says something else, for the first time.
        case differs
        /// It says something else, and lastingly.
        case drift
        /// It said nothing in time.
        case unanswered
        /// It ended the stream, or said what cannot be read.
        case failed
        /// There was nothing to compare, or no stream to ask on.
        case skipped
    }

    /// How a self-check client fared.
    package enum FreshnessOutcome: String, CaseIterable, Sendable {
        /// It was answered, and has the newest state.
        case fresh
        /// It got no answer in time.
        case unanswered
        /// It was answered, and not given the newest state in time.
        case behind
    }

    /// `weir_drift_groups`.
    package let driftGroups: Gauge
    /// `weir_drift_check_age_seconds`.
    package let driftCheckAge: Gauge
    /// `weir_drift_heals_total`.
    package let driftHeals: Counter
    private let driftByOutcome: LabelTable<Counter>
    private let freshnessByWorker: LabelTable<Histogram>
    private let lagByWorker: LabelTable<Gauge>
    private let freshnessByOutcome: LabelTable<Counter>
    let families: [MetricFamily]

    init(workers: Int) {
        var groups = MetricFamily(
            "weir_drift_groups", .gauge, help: "Groups that hold lastingly something else than their upstream says.")
        self.driftGroups = groups.gauge()
        var checks = MetricFamily("weir_drift_checks_total", .counter, help: "Looks for drift, by how they ended.")
        self.driftByOutcome = LabelTable(DriftOutcome.allCases.map(\.rawValue)) { outcome, isOther in
            checks.counter(["outcome": outcome], hiddenWhileZero: isOther)
        }
        var age = MetricFamily(
            "weir_drift_check_age_seconds", .gauge,
            help: "Time since a look for drift was last answered; 0 if none ever was.")
        self.driftCheckAge = age.gauge()
        var heals = MetricFamily(
            "weir_drift_heals_total", .counter, help: "Groups that were refreshed because they drifted.")
        self.driftHeals = heals.counter()

        let names = (0..<workers).map { String($0) }
        var freshness = MetricFamily(
            "weir_freshness_seconds", .histogram,
            help: "From the upstream's bytes read to the worker's self-check client having the response, in seconds.")
        // A histogram cannot be hidden: what is no worker of this process shares the first one's.
        var first: Histogram?
        self.freshnessByWorker = LabelTable(names) { worker, isOther in
            if isOther, let known = first { return known }
            let made = freshness.histogram(["worker": worker])
            first = first ?? made
            return made
        }
        var lag = MetricFamily(
            "weir_freshness_lag_seconds", .gauge,
            help: "How long the worker's self-check client has been without an answer or behind; 0 while it is not.")
        self.lagByWorker = LabelTable(names) { worker, isOther in
            lag.gauge(["worker": worker], hiddenWhileZero: isOther)
        }
        var outcomes = MetricFamily(
            "weir_freshness_checks_total", .counter, help: "Questions of self-check clients, by how they ended.")
        self.freshnessByOutcome = LabelTable(FreshnessOutcome.allCases.map(\.rawValue)) { outcome, isOther in
            outcomes.counter(["outcome": outcome], hiddenWhileZero: isOther)
        }
        self.families = [groups, checks, age, heals, freshness, lag, outcomes]
    }

    /// `weir_drift_checks_total`.
    package func drift(_ outcome: DriftOutcome) -> Counter { self.driftByOutcome[outcome.rawValue] }
    /// `weir_freshness_seconds`.
    package func freshness(worker: Int) -> Histogram { self.freshnessByWorker[String(worker)] }
    /// `weir_freshness_lag_seconds`.
    package func freshnessLag(worker: Int) -> Gauge { self.lagByWorker[String(worker)] }
    /// `weir_freshness_checks_total`.
    package func freshness(_ outcome: FreshnessOutcome) -> Counter { self.freshnessByOutcome[outcome.rawValue] }
}
