/// The cohorts of a view's subscriptions.
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
        guard let cohort = self.cohorts[Int(index)] else { return }
        self.subscriptions[Int(cohort.subscription)]?.cohorts.removeAll { $0 == index }
        self.cohorts[Int(index)] = nil
        self.freeCohorts.append(index)
    }

    /// The cohort of this variant whose members hold the newest state of the subscription; made if there is none.
    func currentCohort(of subscription: Int32, isDelta: Bool, version: String) -> Int32 {
        let record = self.subscriptions[Int(subscription)]
        for index in record?.cohorts ?? [] {
            guard let cohort = self.cohorts[Int(index)], cohort.isDelta == isDelta else { continue }
            if cohort.generation >= record?.changed ?? 0 { return index }
        }
        return self.makeCohort(
            Cohort(subscription: subscription, isDelta: isDelta, generation: self.generation, version: version))
    }
}
