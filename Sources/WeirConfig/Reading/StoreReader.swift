import WeirBase
import WeirYAML

extension Field {
    /// `cache.store`.
    func store(in folder: String) -> StoreConfiguration? {
        let known = ["path", "max_size", "max_age", "secrets", "encryption_key"]
        guard let section = self.section(known), let path = section.require("path")?.path(in: folder) else {
            return nil
        }
        var store = StoreConfiguration(path: path)
        section.read("max_size", into: &store.bytesMax) { $0.size(1 << 20...1 << 40) }
        section.read("max_age", into: &store.ageMax) {
            $0.duration(.seconds(1)...(.seconds(3_650 * 86_400)), orZero: true)
        }
        section.read("secrets", into: &store.secrets) { $0.flag() }
        section.read("encryption_key", into: &store.encryptionKey) { $0.encryptionKeyFile(in: folder) }
        if store.secrets, section["encryption_key"] == nil {
            section["secrets"]?.error(
                "secrets are stored encrypted only: name a file with 32 random bytes in encryption_key, such as "
                    + "`head -c 32 /dev/urandom` makes")
        }
        return store
    }

    private func encryptionKeyFile(in folder: String) -> String? {
        guard let path = self.readableFile(in: folder) else { return nil }
        guard let bytes = try? readFile(path, bytesMax: 4096), WeirConfig.encryptionKey(in: bytes) != nil else {
            self.error("\"\(path)\" holds no key; expected 32 bytes, raw, as 64 hexadecimal digits or in base64")
            return nil
        }
        return path
    }
}
