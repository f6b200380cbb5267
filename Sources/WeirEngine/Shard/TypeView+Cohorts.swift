/// Who holds the same state of the same subscription.
extension TypeView {
    func makeCohort(_ cohort: Cohort) -> Int32 {
        let index: Int32
        if let free = self.freeCohorts.popLast() {
            index = free
            self.cohorts[Int(index)] = cohort
        } else {
            index = Int32(self.cohorts.count)
            self.cohorts.append(cohort)
        }
        self.subscriptions[Int(cohort.subscription)]?.cohorts.append(index)
        return index
    }

    func removeCohort(_ index: Int32) {
        let subscription = self.cohorts[Int(index)].subscription
        guard subscription != Cohort.unused.subscription else { return }
        self.subscriptions[Int(subscription)]?.cohorts.removeAll { $0 == index }
        self.cohorts[Int(index)] = .unused
        self.freeCohorts.append(index)
    }

    /// The cohort of this variant whose members hold the newest state of the subscription; made if there is none.
    func currentCohort(of subscription: Int32, isDelta: Bool, version: String) -> Int32 {
        let record = self.subscriptions[Int(subscription)]
        for index in record?.cohorts ?? [] {
            guard self.cohorts[Int(index)].isDelta == isDelta else { continue }
            if self.cohorts[Int(index)].generation >= record?.changed ?? 0 { return index }
        }
        return self.makeCohort(
            Cohort(subscription: subscription, isDelta: isDelta, generation: self.generation, version: version))
    }
}
