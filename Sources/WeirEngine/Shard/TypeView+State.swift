import WeirBase

extension TypeView {
    static func mark(ofURL url: ByteRange, in bytes: borrowing Span<UInt8>) -> UInt64 {
        var mark = UInt64(truncatingIfNeeded: url.count)
        for index in max(url.offset, url.end - 7)..<url.end { mark = mark << 8 | UInt64(bytes[index]) }
        return mark
    }

    /// What a cohort's members hold: as a version, and as a generation that counts everything up to now where nothing that
    /// they subscribe to changed since.
    func held(byCohort index: Int32) -> (version: String, generation: Generation) {
        self.state.value.held(byCohort: Int(index))
    }
}

/// The words of a view that pushes and ACKs touch, in one place (see `Cell`).
struct ViewState {
    var generation: Generation = 0
    var subscriptions: ContiguousArray<Subscription?> = []
    var cohorts: ContiguousArray<Cohort> = []
    var unsettled = 0
    var isTrying = false

    func held(byCohort index: Int) -> (version: String, generation: Generation) {
        let generation = self.cohorts[index].generation
        let changed = self.subscriptions[Int(self.cohorts[index].subscription)]?.changed ?? 0
        return (self.cohorts[index].version, generation >= changed ? self.generation : generation)
    }
}
