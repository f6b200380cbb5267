import WeirBase
import WeirEngine
import WeirXDS

/// What is different between two states of one type of a group.
extension AdminServer {
    func diff(_ answer: AdminAnswer) {
        guard let key = answer.query("key"), let name = answer.query("type") else {
            return answer.error(400, "/diff needs ?key=KEY&type=TYPE, as in /diff?key=web&type=cds&from=6&to=7")
        }
        let type = XDSType.named(name) ?? XDSType.of(typeURL: name)
        let (from, to) = (answer.query("from"), answer.query("to"))
        let writer = DifferenceWriter(dumper: ResourceDumper(descriptors: self.descriptors))
        let renderer = self.shared.renderer
        self.ask(answer) { journal in
            do throws(PushJournal.Refusal) {
                let difference = try journal.pushes.difference(key: key, type: type, from: from, to: to)
                renderer.run {
                    if answer.wantsText { return answer.table(writer.table(difference)) }
                    answer.json { writer.write(difference, to: &$0) }
                }
            } catch {
                answer.error(error.isGone ? 410 : 404, error.message)
            }
        }
    }
}

/// Writes the difference of two states, down to the fields of resources as JSON shows them.
struct DifferenceWriter: Sendable {
    let dumper: ResourceDumper

    /// Names of each kind, changed resources that are looked into, places in one of them, bytes of one value, and bytes of
    /// a resource that is looked into.
    private static let namesMax = 1000
    private static let resourcesMax = 200
    private static let fieldsMax = 100
    private static let valueBytesMax = 2048
    private static let resourceBytesMax = 4 << 20

    func write(_ difference: StateDifference, to json: inout JSONWriter) {
        json.object {
            $0.field("from", difference.from)
            $0.field("to", difference.to)
            $0.field("added", Array(difference.added.prefix(Self.namesMax)))
            $0.field("removed", Array(difference.removed.prefix(Self.namesMax)))
            $0.array("changed") { list in
                for change in difference.changed.prefix(Self.resourcesMax) {
                    self.write(change, difference.type, to: &list)
                }
            }
            $0.object("left_out") {
                $0.field("added", max(0, difference.added.count - Self.namesMax))
                $0.field("removed", max(0, difference.removed.count - Self.namesMax))
                $0.field("changed", max(0, difference.changed.count - Self.resourcesMax))
            }
        }
    }

    private func write(_ change: StateDifference.Change, _ type: XDSType, to list: inout JSONWriter) {
        let (fields, leftOut) = self.fields(change, type)
        list.object {
            $0.field("name", change.name)
            $0.field("from_version", change.before.version)
            $0.field("to_version", change.after.version)
            $0.array("fields") { list in
                for field in fields {
                    list.object {
                        $0.field("path", field.path)
                        Self.write("from", field.from, to: &$0)
                        Self.write("to", field.to, to: &$0)
                    }
                }
            }
            $0.field("fields_left_out", leftOut)
        }
    }

    /// Nothing is said of secrets, and of what cannot be read.
    private func fields(_ change: StateDifference.Change, _ type: XDSType) -> ([JSONDifference], Int) {
        guard type != .sds, let before = self.json(change.before, type), let after = self.json(change.after, type)
        else { return ([], 0) }
        return differences(from: before, to: after, max: Self.fieldsMax)
    }

    private func json(_ kept: KeptResource, _ type: XDSType) -> JSONValue? {
        guard let resource = kept.resource, resource.encoded.count <= Self.resourceBytesMax else { return nil }
        return try? parseJSON(self.dumper.body(resource, type: type))
    }

    private static func write(_ name: String, _ value: JSONValue?, to object: inout JSONWriter) {
        object.key(name)
        guard let value = value else { return object.null() }
        var writer = JSONWriter()
        value.write(to: &writer)
        guard writer.bytes.count > Self.valueBytesMax else { return object.raw(writer.bytes) }
        object.value(String(decoding: writer.bytes, as: UTF8.self).bounded(toBytes: Self.valueBytesMax))
    }

    func table(_ difference: StateDifference) -> TextTable {
        var table = TextTable(["RESOURCE", "WHAT", "PATH", "FROM", "TO"])
        for name in difference.removed.prefix(Self.namesMax) { table.add([name, "removed", "", "", ""]) }
        for name in difference.added.prefix(Self.namesMax) { table.add([name, "added", "", "", ""]) }
        for change in difference.changed.prefix(Self.resourcesMax) {
            let (fields, leftOut) = self.fields(change, difference.type)
            if fields.isEmpty {
                table.add([change.name, "changed", "", change.before.version, change.after.version])
            }
            for field in fields {
                table.add([change.name, "changed", field.path, Self.text(field.from), Self.text(field.to)])
            }
            if leftOut > 0 { table.add([change.name, "and \(leftOut) more places", "", "", ""]) }
        }
        return table
    }

    private static func text(_ value: JSONValue?) -> String {
        guard let value = value else { return "-" }
        var writer = JSONWriter()
        value.write(to: &writer)
        return String(decoding: writer.bytes, as: UTF8.self).bounded(toBytes: 120)
    }
}
