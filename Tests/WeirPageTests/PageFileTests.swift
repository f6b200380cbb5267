import Testing
import WeirPage

@Suite("The page's files")
struct PageFileTests {
    @Test("the document and what it names are there, each with its type")
    func document() throws {
        let document = try #require(PageFile.document)
        #expect(document.contentType == "text/html; charset=utf-8")
        let text = String(decoding: document.bytes, as: UTF8.self)
        let names = text.split(separator: "\"").filter { $0.hasPrefix("page/") }.map { String($0.dropFirst(5)) }
        #expect(Set(names) == ["page.css", "page.js", "icon.svg"])
        for name in names { #expect(PageFile.named(name)?.bytes.isEmpty == false, "\(name)") }
        #expect(PageFile.named("page.js")?.contentType == "text/javascript; charset=utf-8")
        #expect(PageFile.named("page.css")?.contentType == "text/css; charset=utf-8")
        #expect(PageFile.named("icon.svg")?.contentType == "image/svg+xml")
        #expect(PageFile.named("../page.html") == nil && PageFile.named("") == nil)
    }

    @Test("every module that a script imports is there, and no script leads elsewhere")
    func modules() {
        let scripts = PageFile.all.filter { $0.name.hasSuffix(".js") }
        #expect(scripts.count > 5)
        for script in scripts {
            let lines = String(decoding: script.bytes, as: UTF8.self).split(separator: "\n")
            for line in lines where line.hasPrefix("import ") {
                let name = line.split(separator: "\"").dropFirst().first.map { String($0.dropFirst(2)) } ?? ""
                #expect(PageFile.named(name) != nil, "\(script.name): \(line)")
            }
        }
        for file in PageFile.all {
            let text = String(decoding: file.bytes, as: UTF8.self).replacing("http://www.w3.org/2000/svg", with: "")
            #expect(!text.contains("://"), "\(file.name) leads to another host")
            #expect(!text.contains("innerHTML") && !text.contains("eval("), "\(file.name)")
        }
    }

    @Test("a tag is one of the bytes' own, in quotes")
    func tags() {
        let files = PageFile.all
        #expect(Set(files.map(\.tag)).count == files.count)
        #expect(files.allSatisfy { $0.tag.count == 18 && $0.tag.hasPrefix("\"") && $0.tag.hasSuffix("\"") })
    }
}
