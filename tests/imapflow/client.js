// What client_imapflow.test does with imapflow. Asks its parent for deliveries, and tells what it saw as lines of JSON.
'use strict';
BigInt.prototype.toJSON = function () { return String(this); };
const { ImapFlow } = require('imapflow');
const assert = require('assert');
const readline = require('readline');

const [, , port, user, pass, ...lacking] = process.argv;
const replies = readline.createInterface({ input: process.stdin });
const waiting = [];
replies.on('line', line => waiting.shift()(line));
const ask = what => new Promise(done => { waiting.push(done); console.log(JSON.stringify(what)); });
const until = (emitter, event, what) => new Promise((done, fail) => {
    const timer = setTimeout(() => fail(new Error(`no ${event} ${what || ''}`)), 15000);
    emitter.once(event, value => { clearTimeout(timer); done(value); });
});
const client = options => new ImapFlow({ host: '127.0.0.1', port: Number(port), secure: false, doSTARTTLS: false, tls: { rejectUnauthorized: false },
    auth: { user, pass }, logger: false, qresync: true, ...options });

const read = async stream => { const parts = []; for await (const part of stream) parts.push(part); return Buffer.concat(parts); };
const fetchAll = async (c, range, query, options) => { const all = []; for await (const m of c.fetch(range, query, options)) all.push(m); return all; };

// Connected, without what is offered in vain.
const connected = async options => {
    const c = client(options);
    await c.connect();
    for (const name of lacking) c.capabilities.delete(name);
    return c;
};

async function mailboxes(c) {
    await c.mailboxCreate(['Work', 'Grüße']);
    await c.mailboxCreate('Other');
    await c.mailboxRename('Other', 'Sent');
    await c.mailboxSubscribe('Sent');
    const list = await c.list({ statusQuery: { messages: true, uidNext: true, unseen: true, uidValidity: true, highestModseq: true } });
    const by = path => list.find(m => m.path === path);
    assert(by('INBOX') && by('Sent') && by('Work/Grüße'), JSON.stringify(list.map(m => m.path)));
    assert.strictEqual(by('Sent').subscribed, true);
    assert.strictEqual(by('INBOX').status.messages, 5);
    assert.strictEqual(by('Sent').specialUse, '\\Sent');
    assert((await c.listTree()).folders.length >= 3);
    await c.mailboxUnsubscribe('Sent');
    assert.strictEqual((await c.list()).find(m => m.path === 'Sent').subscribed || false, false);
    await c.mailboxSubscribe('Sent');
    await c.mailboxCreate('gone');
    await c.mailboxDelete('gone');
    const status = await c.status('INBOX', { messages: true, recent: true, unseen: true, uidNext: true, uidValidity: true, highestModseq: true });
    assert.strictEqual(status.messages, 5);
    assert(c.namespace === undefined || c.namespace.prefix === '');
    return c.getQuota('INBOX');
}

async function messages(c) {
    const box = await c.mailboxOpen('INBOX');
    assert.strictEqual(box.exists, 5);
    const all = await fetchAll(c, '1:*', { uid: true, flags: true, envelope: true, bodyStructure: true, internalDate: true, size: true, threadId: true,
        headers: ['subject'], source: true, bodyParts: ['TEXT'] });
    assert.deepStrictEqual(all.map(m => m.envelope.subject), [1, 2, 3, 4, 5].map(n => `number ${n}`));
    assert(all.every(m => m.source.toString().includes(`Text ${m.seq}`) && m.size === m.source.length), 'sizes');
    assert(all.every(m => m.internalDate.toISOString().startsWith('2026-01-01')));
    const sent = await c.append('Sent', 'Subject: by imapflow\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nText\r\n' +
        '--b\r\nContent-Type: application/octet-stream\r\nContent-Transfer-Encoding: base64\r\nContent-Disposition: attachment; filename="a.bin"\r\n\r\n' +
        'SGVsbG8AIQ==\r\n--b--\r\n', ['\\Seen', '$Forwarded'], new Date('2026-02-03T04:05:06Z'));
    assert(sent.uid && sent.uidValidity);
    assert(await c.messageFlagsAdd('2', ['\\Flagged', '$Important']));
    assert(await c.messageFlagsRemove('2', ['$Important']));
    assert(await c.messageFlagsSet('1', ['\\Seen', '\\Answered']));
    assert(await c.messageFlagsAdd({ uid: String(all[2].uid) }, ['\\Draft'], { uid: true }));
    const found = await c.search({ subject: 'number', flagged: true }, { uid: true });
    assert.deepStrictEqual(found, [all[1].uid]);
    assert.deepStrictEqual(await c.search({ or: [{ subject: 'ber 4' }, { body: 'Text 5' }], not: { seen: true }, since: new Date('2025-12-01') }), [4, 5]);
    const counted = await c.search({ all: true }, { uid: true, returnOptions: ['MIN', 'MAX', 'COUNT'] });
    if (c.capabilities.has('ESEARCH')) {
        assert.strictEqual(Number(counted.count), 5);
        assert.strictEqual(Number(counted.max), all[4].uid);
    }
    const copied = await c.messageCopy('1:2', 'Sent');
    assert.strictEqual(copied.uidMap.size, 2);
    const moved = await c.messageMove(String(all[3].uid), ['Work', 'Grüße'], { uid: true });
    assert.strictEqual(moved.uidMap.size, 1);
    const left = async () => (await c.status('INBOX', { messages: true })).messages;     // its own count does not follow VANISHED
    assert.strictEqual(await left(), 4);
    assert(await c.messageDelete(String(all[4].uid), { uid: true }));
    assert.strictEqual(await left(), 3);
    return sent;
}

async function downloads(c, sent) {
    const lock = await c.getMailboxLock('Sent', { readOnly: true });
    try {
        const part = await c.download(String(sent.uid), '2', { uid: true });
        assert.deepStrictEqual(await read(part.content), Buffer.from('Hello\0!'));
        assert.strictEqual(part.meta.filename, 'a.bin');
        const whole = await c.download(String(sent.uid), undefined, { uid: true });
        assert((await read(whole.content)).toString().includes('Subject: by imapflow'));
    const decoded = await c.fetchOne(String(sent.uid), { uid: true, bodyParts: ['2'] }, { uid: true, binary: true });
    if (!decoded || !decoded.bodyParts.get('2')) throw new Error('BINARY gave nothing');
        const many = await c.downloadMany(String(sent.uid), ['1', '2'], { uid: true });
        assert.deepStrictEqual(many['2'].content, Buffer.from('Hello\0!'));
    } finally {
        lock.release();
    }
}

async function changes(c) {
    await c.mailboxOpen('INBOX');
    const idling = c.idle();
    const came = until(c, 'exists', 'in IDLE');
    await new Promise(done => setTimeout(done, 300));
    await ask({ deliver: 'while idle' });
    assert.strictEqual((await came).count, 4);
    const modseq = c.mailbox.highestModseq;
    await c.noop();
    await idling;
    if (modseq) {
        const flags = await c.messageFlagsAdd('4', ['\\Seen']);
        assert(flags);
        const changed = await fetchAll(c, '1:*', { uid: true, flags: true, modseq: true }, { changedSince: modseq });
        assert(changed.some(m => m.seq === 4 && m.flags.has('\\Seen') && m.modseq > modseq), JSON.stringify(changed.map(m => m.seq)));
        assert(!changed.some(m => m.seq === 1));
    }
}

// A client that was away: another changes flags, removes, adds; it comes back and is told exactly that.
async function comeback(first) {
    const known = { uidValidity: first.mailbox.uidValidity, changedSince: first.mailbox.highestModseq };
    const uids = (await fetchAll(first, '1:*', { uid: true })).map(m => m.uid);
    await first.logout();
    const other = await connected();
    await other.mailboxOpen('INBOX');
    await other.messageFlagsAdd(String(uids[0]), ['\\Flagged'], { uid: true });
    await other.messageDelete(String(uids[1]), { uid: true });
    await other.append('INBOX', 'Subject: meanwhile\r\n\r\nText\r\n');
    await other.logout();
    const back = await connected();
    const vanished = [], changed = [];
    back.on('expunge', e => vanished.push(e));
    back.on('flags', e => changed.push(e));
    if (known.changedSince && back.enabled.has('QRESYNC')) {
        const box = await back.mailboxOpen('INBOX', known);
        assert.strictEqual(box.exists, 4);
        assert(vanished.some(e => e.uid === uids[1] && e.earlier), 'vanished: ' + JSON.stringify(vanished));
        assert(changed.some(e => e.uid === uids[0] && e.flags.has('\\Flagged')), 'changed: ' + changed.length);
        assert(!changed.some(e => e.uid === uids[2]), 'unchanged was told');
    } else {
        await back.mailboxOpen('INBOX');
    }
    await back.mailboxClose();
    await back.logout();
}

async function main() {
    const c = await connected();
    assert(c.authenticated);
    const quota = await mailboxes(c);
    const sent = await messages(c);
    await downloads(c, sent);
    await changes(c);
    await comeback(c);
    const plain = await connected({ disableAutoEnable: true, disableCompression: true, qresync: false });        // as an IMAP4rev1 client
    await plain.mailboxOpen('INBOX');
    assert.deepStrictEqual(await plain.search({ subject: 'meanwhile' }), [4]);
    await plain.logout();
    console.log(JSON.stringify({ quota, capabilities: [...c.capabilities.keys()], serverInfo: c.serverInfo }));
    process.exit(0);
}

main().catch(e => { console.log(JSON.stringify({ failed: e.stack, response: e.response && (e.responseText || String(e.response)) })); process.exit(1); });
