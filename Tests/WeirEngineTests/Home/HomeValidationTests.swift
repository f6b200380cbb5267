import Testing
import WeirBase
import WeirXDS

@testable import WeirEngine

@Suite("A client that looks at what it is sent")
struct HomeValidationTests {
    private func harness(_ variant: ProtocolVariant) -> HomeHarness {
        let h = HomeHarness(variant) { policy in
            policy.validate = { $0.version == "66" || $0.name == "bad" ? "\($0.type.label) is bad" : nil }
        }
        h.join()
        h.want(.cds, wildcard: true)
        h.open()
        _ = h.takeRequests()
        return h
    }

    @Test(
        "UP-05 UP-06 what it rejects is NACKed with the reason; the rest is used, and of the rejected the last good one"
    )
    func delta() {
        let h = self.harness(.delta)
        h.delta(.cds, "n1", ["a@1", "b@1"])
        _ = h.takeUpdates()
        h.delta(.cds, "n2", ["a@66", "b@2"])
        #expect(h.takeRequests() == ["0 cds n=n1", "0 cds n=n2 NACK"])
        #expect(h.takeUpdates() == ["b@2"])
        let reasons = h.events.compactMap { event -> String? in
            if case .rejected(_, _, let reason, _) = event { reason } else { nil }
        }
        #expect(reasons == ["\"a\": cds is bad"])
        // The next version of it is judged anew.
        h.delta(.cds, "n3", ["a@3"])
        #expect(h.takeUpdates() == ["a@3"])
        #expect(h.takeRequests() == ["0 cds n=n3"])
    }

    @Test("SOTW-02 UP-05 a rejected resource of a full set is mentioned all the same: it is not gone")
    func sotw() {
        let h = self.harness(.sotw)
        h.sotw(.cds, "1", "n1", ["a@1", "bad@1"])
        #expect(h.takeUpdates() == ["a@1"])
        #expect(h.takeRequests() == ["0 cds v= n=n1 [] NACK"])
        h.sotw(.cds, "2", "n2", ["bad@1"])
        #expect(h.takeUpdates() == ["-a"])
    }
}
