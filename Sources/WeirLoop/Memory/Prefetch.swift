import CWeirShims
package import WeirBase

extension Footprint {
    /// Has the processor fetch two cache lines at each address. Returns at once.
    package func prefetch() {
        for index in self.addresses.indices where self.addresses[index] != 0 { weir_prefetch(self.addresses[index]) }
    }
}
