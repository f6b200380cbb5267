import Testing
import WeirBase
import WeirConfig

private let rest = """
    upstreams: {primary: {servers: ["cp:1"]}}
    aggregation: {rules: [{key: k}]}

    """

@Suite("cache.store")
struct StoreTests {
    @Test("defaults and values")
    func values() throws {
        let folder = try Folder([
            "relay.yaml": rest + "cache: {store: {path: state}}\n", "key": String(repeating: "0f", count: 32) + "\n",
            "full.yaml": rest
                + "cache: {store: {path: /x, max_size: 2MiB, max_age: 0s, secrets: true, encryption_key: key}}\n",
        ])
        let (loaded, messages) = folder.load()
        #expect(messages.isEmpty && loaded?.cache.store == StoreConfiguration(path: folder.path + "/state"))
        let (configuration, _) = loadConfiguration(path: folder.path + "/full.yaml", environment: [:])
        let store = try #require(configuration?.cache.store)
        #expect(store.path == "/x" && store.bytesMax == 2 << 20 && store.ageMax == .zero)
        #expect(store.secrets && store.encryptionKey == folder.path + "/key")
    }

    @Test("secrets need a key, and a key is 32 bytes")
    func key() throws {
        var folder = try Folder(["relay.yaml": rest + "cache: {store: {path: x, secrets: true}}\n"])
        #expect(folder.load().messages.first?.contains("name a file with 32 random bytes in encryption_key") == true)
        folder = try Folder(["relay.yaml": rest + "cache: {store: {path: x, encryption_key: key}}\n", "key": "short"])
        #expect(folder.load().messages.first?.contains("holds no key; expected 32 bytes") == true)
        folder = try Folder(["relay.yaml": rest + "cache: {store: {max_size: 1MiB}}\n"])
        #expect(folder.load().messages.first?.contains("cache.store.path: this field is required") == true)
    }

    @Test("a key file is raw, hexadecimal or base64")
    func forms() {
        let key = (0..<32).map { UInt8($0 * 7) }
        #expect(encryptionKey(in: key) == key)
        #expect(
            encryptionKey(in: Array("00070e151c232a31383f464d545b626970777e858c939aa1a8afb6bdc4cbd2d9\n".utf8)) == key)
        #expect(encryptionKey(in: Array("AAcOFRwjKjE4P0ZNVFtiaXB3foWMk5qhqK+2vcTL0tk=\n".utf8)) == key)
        for wrong in ["", "zz", String(repeating: "g", count: 64), String(repeating: "?", count: 43) + "="] {
            #expect(encryptionKey(in: Array(wrong.utf8)) == nil)
        }
    }
}
