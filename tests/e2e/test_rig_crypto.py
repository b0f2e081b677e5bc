"""The rig's crypto: what cannot be decrypted is seen as such, and trust is what the client says."""

from tests.e2e.conftest import Make
from tests.rig.crypto_person import CryptoPerson
from tests.rig.proxy import FaultProxy, Hold


async def test_a_device_without_keys_sees_that_it_cannot_read(
    crypto_person: Make, person: Make
) -> None:
    alice, bob = await crypto_person("alice"), await person("bob")
    room = await alice.dm(bob.user_id)
    await bob.accept_invites_from(alice.user_id)

    said = await alice.send(room, "secret")

    seen = await bob.message(room, "UNDECRYPTABLE")
    assert seen.event_id == said
    assert seen.undecryptable


async def test_a_new_device_reads_what_comes_and_not_what_was(crypto_person: Make) -> None:
    alice, bob = await crypto_person("alice"), await crypto_person("bob")
    room = await alice.dm(bob.user_id)
    await bob.accept_invites_from(alice.user_id)
    before = await alice.send(room, "before")
    await bob.message(room, "before")

    async with await CryptoPerson.log_in(bob.url, bob.user_id) as phone:
        await alice.until_device(phone.user_id, phone.crypto_login.device_id)
        after = await alice.send(room, "after")
        assert (await phone.message(room, "after")).event_id == after
        lost = next(m for m in phone.messages(room) if m.event_id == before)
        assert lost.undecryptable


async def test_a_key_that_comes_late_makes_the_message_readable(
    crypto_person: Make, proxy: FaultProxy
) -> None:
    alice, bob = await crypto_person("alice"), await crypto_person("bob", crypto_url=proxy.url)
    room = await alice.dm(bob.user_id)
    await bob.accept_invites_from(alice.user_id)
    # Let the sync that is under way come home; the next one, which would bring the key, is held.
    rule = proxy.arm("GET", "/sync$", Hold(), times=None)
    await bob.set_display_name("Bob")
    await rule.fired()

    said = await alice.send(room, "patience")
    await bob.until(lambda: [m.undecryptable for m in bob.messages(room)] == [True])
    rule.disarm()

    assert (await bob.message(room, "patience")).event_id == said


async def test_messages_of_a_cross_signed_person_carry_no_shield(crypto_person: Make) -> None:
    alice, bob = await crypto_person("alice", cross_sign=True), await crypto_person("bob")
    room = await alice.dm(bob.user_id)
    await bob.accept_invites_from(alice.user_id)

    signed = await alice.send(room, "it is me")
    await bob.message(room, "it is me")
    unsigned = await bob.send(room, "and this is me")
    await alice.message(room, "and this is me")

    assert await bob.shield(signed) == {"colour": 0, "reason": None}
    assert (await alice.shield(unsigned))["colour"] > 0
    status = await bob.device_status(alice.user_id, alice.crypto_login.device_id)
    assert status["signed_by_owner"]
