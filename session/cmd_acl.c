/*
 * SETACL, DELETEACL, GETACL, LISTRIGHTS and MYRIGHTS (RFC 4314). The rights themselves are the file system's: store/acl.h.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "session/command.h"
#include "store/acl.h"

/* In the order in which they are written. */
static const struct { char letter; unsigned right; } letters[] = {
    { 'l', RIGHT_L }, { 'r', RIGHT_R }, { 's', RIGHT_S }, { 'w', RIGHT_W }, { 'i', RIGHT_I }, { 'p', RIGHT_P }, { 'k', RIGHT_K },
    { 'x', RIGHT_X }, { 't', RIGHT_T }, { 'e', RIGHT_E }, { 'a', RIGHT_A } };
enum { LETTERS = sizeof letters / sizeof *letters, LETTERS_MOST = LETTERS + 3 };
/* RFC 4314 section 2.1.1: what RFC 2086 called create and delete. */
enum { CREATE = RIGHT_K | RIGHT_X, DELETE = RIGHT_E | RIGHT_T };

/* As a rights string, with the virtual c and d in `virtuals` where a member of theirs is in the set. */
static const char *letters_of(unsigned rights, unsigned virtuals, char out[LETTERS_MOST])
{
    size_t n = 0;
    for (size_t i = 0; i < LETTERS; i++)
        if (rights & letters[i].right)
            out[n++] = letters[i].letter;
    if (rights & virtuals & CREATE)
        out[n++] = 'c';
    if (rights & virtuals & DELETE)
        out[n++] = 'd';
    out[n] = 0;
    return out;
}

static void write_rights(struct session *s, unsigned rights)
{
    char text[LETTERS_MOST];
    io_puts(&s->io, " ");
    write_astring(&s->io, str_z(letters_of(rights, CREATE | DELETE, text)));
}

static void write_identifier(struct session *s, struct who who)
{
    char name[WHO_NAME_MAX];
    who_name(store_settings_of(s->store), who, name);
    io_puts(&s->io, " ");
    write_astring(&s->io, str_z(name));
}

/* Modification of rights: a sign or none, then letters. NULL, or what is wrong with it. */
static const char *parse_rights(struct str text, int *mode, unsigned *rights)
{
    size_t i = 0;
    *mode = 0;
    *rights = 0;
    if (text.n > 0 && (text.p[0] == '+' || text.p[0] == '-'))
        *mode = text.p[i++] == '+' ? 1 : -1;
    for (; i < text.n; i++) {
        const char c = text.p[i];
        size_t k = 0;
        if (c >= 'A' && c <= 'Z')
            return "Uppercase rights are not allowed";
        while (k < LETTERS && letters[k].letter != c)
            k++;
        if (k == LETTERS && c != 'c' && c != 'd')
            return "There is no such right";
        *rights |= c == 'c' ? (unsigned)CREATE : c == 'd' ? (unsigned)DELETE : letters[k].right;
    }
    return NULL;
}

/* RFC 4314 section 3: an identifier that cannot be one is BAD; one of nobody is the store's to refuse. */
static bool good_identifier(struct str text)
{
    for (size_t i = 0; i < text.n; i++)
        if ((unsigned char)text.p[i] < ' ' || text.p[i] == 0x7f)
            return false;
    return text.n > 0;
}

/* The mailbox; where what follows it was parsed already. */
static bool to_name(struct session *s, struct str wire, struct mailbox_name *out)
{
    bool directory = false;
    return to_store_name(s, wire, out, &directory);
}


enum outcome cmd_setacl(struct session *s, struct parse *p)
{
    struct str wire, identifier, text;
    struct mailbox_name name;
    struct who who;
    struct store_error e;
    unsigned rights, left = 0;
    int mode;
    char shown[LETTERS_MOST];
    if (!parse_sp(p) || !parse_astring(p, &wire) || !parse_sp(p) || !parse_astring(p, &identifier) || !parse_sp(p)
        || !parse_astring(p, &text) || !parse_end(p))
        return bad_arguments(s, "SETACL mailbox identifier rights");
    const char *wrong = parse_rights(text, &mode, &rights);
    if (wrong != NULL || !good_identifier(identifier))
        return say(s, OUTCOME_BAD, NULL, "%s", wrong != NULL ? wrong : "That is no identifier");
    if (!to_name(s, wire, &name))
        return OUTCOME_NO;
    if (who_find(store_settings_of(s->store), identifier, &who, &e) != 0
        || rights_set(s->store, &name, who, mode, rights, &left, &e) != 0)
        return store_no(s, &e);
    if (left != 0)
        return say(s, OUTCOME_OK, NULL, "SETACL completed, without %s: LISTRIGHTS tells what can be given and what goes together",
                   letters_of(left, 0, shown));
    return OUTCOME_OK;
}

enum outcome cmd_deleteacl(struct session *s, struct parse *p)
{
    struct str wire, identifier;
    struct mailbox_name name;
    struct who who;
    struct store_error e;
    if (!parse_sp(p) || !parse_astring(p, &wire) || !parse_sp(p) || !parse_astring(p, &identifier) || !parse_end(p))
        return bad_arguments(s, "DELETEACL mailbox identifier");
    if (!good_identifier(identifier))
        return say(s, OUTCOME_BAD, NULL, "That is no identifier");
    if (!to_name(s, wire, &name))
        return OUTCOME_NO;
    if (who_find(store_settings_of(s->store), identifier, &who, &e) != 0 || rights_delete(s->store, &name, who, &e) != 0)
        return store_no(s, &e);
    return OUTCOME_OK;
}

enum outcome cmd_getacl(struct session *s, struct parse *p)
{
    struct str wire;
    struct mailbox_name name;
    struct rights_entry *list;
    struct store_error e;
    size_t n;
    if (!parse_sp(p) || !parse_astring(p, &wire) || !parse_end(p))
        return bad_arguments(s, "GETACL mailbox");
    if (!to_name(s, wire, &name))
        return OUTCOME_NO;
    if (rights_list(s->store, &name, &list, &n, &e) != 0)
        return store_no(s, &e);
    io_puts(&s->io, "* ACL ");
    write_named(s, wire, name.text);
    for (size_t i = 0; i < n; i++) {
        write_identifier(s, list[i].who);
        write_rights(s, list[i].rights);
    }
    io_puts(&s->io, "\r\n");
    free(list);
    return OUTCOME_OK;
}

/* c stands alone where its members are not all tied to the same others (RFC 4314 section 2.1.1); d is always with its own. */
static void write_choice(struct session *s, const struct rights_choice *c)
{
    char text[LETTERS_MOST];
    unsigned told = c->always;
    write_rights(s, c->always);
    for (size_t i = 0; i < c->n; i++) {
        if (c->sets[i] & ~c->always)
            io_printf(&s->io, " %s", letters_of(c->sets[i], DELETE, text));
        told |= c->sets[i];
    }
    if ((told & CREATE) && !(c->always & CREATE))
        io_puts(&s->io, " c");
}

enum outcome cmd_listrights(struct session *s, struct parse *p)
{
    struct str wire, identifier;
    struct mailbox_name name;
    struct rights_choice choice;
    struct who who;
    struct store_error e;
    if (!parse_sp(p) || !parse_astring(p, &wire) || !parse_sp(p) || !parse_astring(p, &identifier) || !parse_end(p))
        return bad_arguments(s, "LISTRIGHTS mailbox identifier");
    if (!good_identifier(identifier))
        return say(s, OUTCOME_BAD, NULL, "That is no identifier");
    if (!to_name(s, wire, &name))
        return OUTCOME_NO;
    if (who_find(store_settings_of(s->store), identifier, &who, &e) != 0 || rights_choice(s->store, &name, who, &choice, &e) != 0)
        return store_no(s, &e);
    io_puts(&s->io, "* LISTRIGHTS ");
    write_named(s, wire, name.text);
    io_puts(&s->io, " ");
    write_astring(&s->io, identifier);
    write_choice(s, &choice);
    io_puts(&s->io, "\r\n");
    return OUTCOME_OK;
}

enum outcome cmd_myrights(struct session *s, struct parse *p)
{
    struct str wire;
    struct mailbox_name name;
    struct store_error e;
    unsigned rights;
    if (!parse_sp(p) || !parse_astring(p, &wire) || !parse_end(p))
        return bad_arguments(s, "MYRIGHTS mailbox");
    if (!to_name(s, wire, &name))
        return OUTCOME_NO;
    if (rights_mine(s->store, &name, &rights, &e) != 0)
        return store_no(s, &e);
    io_puts(&s->io, "* MYRIGHTS ");
    write_named(s, wire, name.text);
    write_rights(s, rights);
    io_puts(&s->io, "\r\n");
    return OUTCOME_OK;
}

void write_myrights(struct session *s, const char *mailbox)
{
    struct mailbox_name name;
    struct store_error e;
    unsigned rights;
    if (names_parse(store_names(s->store), str_z(mailbox), &name, NULL, &e) != 0 || rights_mine(s->store, &name, &rights, &e) != 0)
        return;
    io_puts(&s->io, "* MYRIGHTS ");
    write_mailbox(&s->io, mailbox);
    write_rights(s, rights);
    io_puts(&s->io, "\r\n");
}
