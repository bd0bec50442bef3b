"""The number by which Sysprep knows a time zone, found from its IANA name.

The numbers are those of Microsoft's Time Zone Index Values, which the API
reference names for ``GuiUnattended.timeZone``; the zones of a Windows zone
are those of Unicode CLDR's ``windowsZones``, old names of zones included.

Windows has more zones by now than have numbers. Those are not sent as a
neighbour in silence: the error names the neighbour with the most similar hours, and a
person decides.
"""

from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from functools import cache
from typing import Final

from linkedclone.errors import InputError

_COVERED: Final = """
0 Dateline: Etc/GMT+12
1 Samoa: Pacific/Apia
2 Hawaiian: Pacific/Honolulu Etc/GMT+10 HST Pacific/Johnston Pacific/Rarotonga Pacific/Tahiti
    US/Hawaii
3 Alaskan: America/Anchorage America/Juneau America/Metlakatla America/Nome America/Sitka
    America/Yakutat US/Alaska
4 Pacific: America/Los_Angeles PST8PDT US/Pacific
10 Mountain: America/Denver America/Boise America/Cambridge_Bay America/Ciudad_Juarez
    America/Shiprock MST7MDT Navajo US/Mountain
13 Mountain (Mexico): America/Mazatlan Mexico/BajaSur
15 US Mountain: America/Phoenix America/Creston America/Dawson_Creek America/Fort_Nelson
    America/Hermosillo Etc/GMT+7 MST US/Arizona
20 Central: America/Chicago America/Indiana/Knox America/Indiana/Tell_City America/Knox_IN
    America/Matamoros America/Menominee America/North_Dakota/Beulah America/North_Dakota/Center
    America/North_Dakota/New_Salem America/Ojinaga America/Rankin_Inlet America/Resolute CST6CDT
    US/Central US/Indiana-Starke
25 Canada Central: America/Regina America/Swift_Current Canada/Saskatchewan
30 Central (Mexico): America/Mexico_City America/Bahia_Banderas America/Chihuahua America/Merida
    America/Monterrey Mexico/General
33 Central America: America/Guatemala America/Belize America/Costa_Rica America/El_Salvador
    America/Managua America/Tegucigalpa Etc/GMT+6 Pacific/Galapagos
35 Eastern: America/New_York America/Detroit America/Indiana/Petersburg
    America/Indiana/Vincennes America/Indiana/Winamac America/Iqaluit
    America/Kentucky/Louisville America/Kentucky/Monticello America/Louisville America/Montreal
    America/Nassau America/Nipigon America/Pangnirtung America/Thunder_Bay America/Toronto
    Canada/Eastern EST5EDT US/Eastern US/Michigan
40 US Eastern: America/Indiana/Indianapolis America/Fort_Wayne America/Indiana/Marengo
    America/Indiana/Vevay America/Indianapolis US/East-Indiana
45 SA Pacific: America/Bogota America/Atikokan America/Cayman America/Coral_Harbour
    America/Eirunepe America/Guayaquil America/Jamaica America/Lima America/Panama
    America/Porto_Acre America/Rio_Branco Brazil/Acre EST Etc/GMT+5 Jamaica
50 Atlantic: America/Halifax America/Glace_Bay America/Goose_Bay America/Moncton America/Thule
    Atlantic/Bermuda Canada/Atlantic
55 SA Western: America/La_Paz America/Anguilla America/Antigua America/Aruba America/Barbados
    America/Blanc-Sablon America/Boa_Vista America/Curacao America/Dominica America/Grenada
    America/Guadeloupe America/Guyana America/Kralendijk America/Lower_Princes America/Manaus
    America/Marigot America/Martinique America/Montserrat America/Port_of_Spain
    America/Porto_Velho America/Puerto_Rico America/Santo_Domingo America/St_Barthelemy
    America/St_Kitts America/St_Lucia America/St_Thomas America/St_Vincent America/Tortola
    America/Virgin Brazil/West Etc/GMT+4
56 Pacific SA: America/Santiago Chile/Continental
60 Newfoundland: America/St_Johns Canada/Newfoundland
65 E. South America: America/Sao_Paulo Brazil/East
70 SA Eastern: America/Cayenne America/Belem America/Fortaleza America/Maceio America/Paramaribo
    America/Recife America/Santarem Antarctica/Palmer Antarctica/Rothera Atlantic/Stanley
    Etc/GMT+3
73 Greenland: America/Nuuk America/Godthab
75 Mid-Atlantic:
80 Azores: Atlantic/Azores America/Scoresbysund
83 Cape Verde: Atlantic/Cape_Verde Etc/GMT+1
85 GMT: Europe/London Atlantic/Canary Atlantic/Faeroe Atlantic/Faroe Atlantic/Madeira Eire
    Europe/Belfast Europe/Dublin Europe/Guernsey Europe/Isle_of_Man Europe/Jersey Europe/Lisbon
    GB GB-Eire Portugal WET
90 Greenwich: Etc/UTC Africa/Abidjan Africa/Accra Africa/Bamako Africa/Banjul Africa/Bissau
    Africa/Conakry Africa/Dakar Africa/Freetown Africa/Lome Africa/Monrovia Africa/Nouakchott
    Africa/Ouagadougou Africa/Timbuktu America/Danmarkshavn Atlantic/Reykjavik
    Atlantic/St_Helena Etc/GMT Etc/GMT+0 Etc/GMT-0 Etc/GMT0 Etc/Greenwich Etc/UCT Etc/Universal
    Etc/Zulu GMT GMT+0 GMT-0 GMT0 Greenwich Iceland UCT UTC Universal Zulu
95 Central Europe: Europe/Budapest Europe/Belgrade Europe/Bratislava Europe/Ljubljana
    Europe/Podgorica Europe/Prague Europe/Tirane
100 Central European: Europe/Warsaw Europe/Sarajevo Europe/Skopje Europe/Zagreb Poland
105 Romance: Europe/Paris Africa/Ceuta CET Europe/Brussels Europe/Copenhagen Europe/Madrid MET
110 W. Europe: Europe/Berlin Arctic/Longyearbyen Atlantic/Jan_Mayen Europe/Amsterdam
    Europe/Andorra Europe/Busingen Europe/Gibraltar Europe/Luxembourg Europe/Malta Europe/Monaco
    Europe/Oslo Europe/Rome Europe/San_Marino Europe/Stockholm Europe/Vaduz Europe/Vatican
    Europe/Vienna Europe/Zurich
113 W. Central Africa: Africa/Lagos Africa/Algiers Africa/Bangui Africa/Brazzaville
    Africa/Douala Africa/Kinshasa Africa/Libreville Africa/Luanda Africa/Malabo Africa/Ndjamena
    Africa/Niamey Africa/Porto-Novo Africa/Tunis Etc/GMT-1
115 E. Europe: Europe/Chisinau Europe/Tiraspol
120 Egypt: Africa/Cairo Egypt
125 FLE: Europe/Kyiv Europe/Helsinki Europe/Kiev Europe/Mariehamn Europe/Riga Europe/Sofia
    Europe/Tallinn Europe/Uzhgorod Europe/Vilnius Europe/Zaporozhye
130 GTB: Europe/Bucharest Asia/Famagusta Asia/Nicosia EET Europe/Athens Europe/Nicosia
135 Israel: Asia/Jerusalem Asia/Tel_Aviv Israel
140 South Africa: Africa/Johannesburg Africa/Blantyre Africa/Bujumbura Africa/Gaborone
    Africa/Harare Africa/Kigali Africa/Lubumbashi Africa/Lusaka Africa/Maputo Africa/Maseru
    Africa/Mbabane Etc/GMT-2
145 Russian: Europe/Moscow Europe/Kirov Europe/Simferopol W-SU
150 Arab: Asia/Riyadh Asia/Aden Asia/Bahrain Asia/Kuwait Asia/Qatar
155 E. Africa: Africa/Nairobi Africa/Addis_Ababa Africa/Asmara Africa/Asmera
    Africa/Dar_es_Salaam Africa/Djibouti Africa/Kampala Africa/Mogadishu Antarctica/Syowa
    Etc/GMT-3 Indian/Antananarivo Indian/Comoro Indian/Mayotte
158 Arabic: Asia/Baghdad
160 Iran: Asia/Tehran Iran
165 Arabian: Asia/Dubai Asia/Muscat Etc/GMT-4
170 Caucasus: Asia/Yerevan
175 Afghanistan: Asia/Kabul
180 Ekaterinburg: Asia/Yekaterinburg
185 West Asia: Asia/Tashkent Antarctica/Mawson Asia/Almaty Asia/Aqtau Asia/Aqtobe Asia/Ashgabat
    Asia/Ashkhabad Asia/Atyrau Asia/Dushanbe Asia/Oral Asia/Qostanay Asia/Samarkand Etc/GMT-5
    Indian/Kerguelen Indian/Maldives
190 India: Asia/Kolkata Asia/Calcutta
193 Nepal: Asia/Kathmandu Asia/Katmandu
195 Central Asia: Asia/Bishkek Antarctica/Vostok Asia/Kashgar Asia/Urumqi Etc/GMT-6
    Indian/Chagos
200 Sri Lanka: Asia/Colombo
201 N. Central Asia: Asia/Novosibirsk
203 Myanmar: Asia/Yangon Asia/Rangoon Indian/Cocos
205 SE Asia: Asia/Bangkok Antarctica/Davis Asia/Ho_Chi_Minh Asia/Jakarta Asia/Phnom_Penh
    Asia/Pontianak Asia/Saigon Asia/Vientiane Etc/GMT-7 Indian/Christmas
207 North Asia: Asia/Krasnoyarsk Asia/Novokuznetsk
210 China: Asia/Shanghai Asia/Chongqing Asia/Chungking Asia/Harbin Asia/Hong_Kong Asia/Macao
    Asia/Macau Hongkong PRC
215 Singapore: Asia/Singapore Asia/Brunei Asia/Kuala_Lumpur Asia/Kuching Asia/Makassar
    Asia/Manila Asia/Ujung_Pandang Etc/GMT-8 Singapore
220 Taipei: Asia/Taipei ROC
225 W. Australia: Australia/Perth Australia/West
227 North Asia East: Asia/Irkutsk
230 Korea: Asia/Seoul ROK
235 Tokyo: Asia/Tokyo Asia/Dili Asia/Jayapura Etc/GMT-9 Japan Pacific/Palau
240 Yakutsk: Asia/Yakutsk Asia/Khandyga
245 AUS Central: Australia/Darwin Australia/North
250 Cen. Australia: Australia/Adelaide Australia/Broken_Hill Australia/South
    Australia/Yancowinna
255 AUS Eastern: Australia/Sydney Australia/ACT Australia/Canberra Australia/Melbourne
    Australia/NSW Australia/Victoria
260 E. Australia: Australia/Brisbane Australia/Lindeman Australia/Queensland
265 Tasmania: Australia/Hobart Antarctica/Macquarie Australia/Currie Australia/Tasmania
270 Vladivostok: Asia/Vladivostok Asia/Ust-Nera
275 West Pacific: Pacific/Port_Moresby Antarctica/DumontDUrville Etc/GMT-10 Pacific/Chuuk
    Pacific/Guam Pacific/Saipan Pacific/Truk Pacific/Yap
280 Central Pacific: Pacific/Guadalcanal Antarctica/Casey Etc/GMT-11 Pacific/Efate
    Pacific/Kosrae Pacific/Noumea Pacific/Pohnpei Pacific/Ponape
285 Fiji: Pacific/Fiji
290 New Zealand: Pacific/Auckland Antarctica/McMurdo Antarctica/South_Pole NZ
300 Tonga: Pacific/Tongatapu
"""
"""By number: what Windows calls the zone, without its ``Standard Time``, and its IANA zones, the
the one for all of them first."""

_NEAREST: Final = """
0: Etc/GMT+11 US/Samoa
2: America/Adak America/Atka Pacific/Marquesas Pacific/Midway Pacific/Niue Pacific/Pago_Pago
    Pacific/Samoa US/Aleutian
3: Etc/GMT+8 Etc/GMT+9 Pacific/Gambier Pacific/Pitcairn
4: America/Ensenada America/Santa_Isabel America/Tijuana Mexico/BajaNorte
15: America/Dawson America/Vancouver America/Whitehorse Canada/Pacific Canada/Yukon
20: America/Rainy_River America/Winnipeg Canada/Central
25: America/Edmonton America/Inuvik America/Yellowknife Canada/Mountain Chile/EasterIsland
    Pacific/Easter
35: America/Grand_Turk America/Havana America/Port-au-Prince Cuba
45: America/Cancun
55: America/Campo_Grande America/Caracas America/Cuiaba
60: America/Miquelon
65: America/Araguaina America/Argentina/Buenos_Aires America/Argentina/Catamarca
    America/Argentina/ComodRivadavia America/Argentina/Cordoba America/Argentina/Jujuy
    America/Argentina/La_Rioja America/Argentina/Mendoza America/Argentina/Rio_Gallegos
    America/Argentina/Salta America/Argentina/San_Juan America/Argentina/San_Luis
    America/Argentina/Tucuman America/Argentina/Ushuaia America/Asuncion America/Bahia
    America/Buenos_Aires America/Catamarca America/Cordoba America/Coyhaique America/Jujuy
    America/Mendoza America/Montevideo America/Punta_Arenas America/Rosario
75: America/Noronha Atlantic/South_Georgia Brazil/DeNoronha Etc/GMT+2
90: Africa/Sao_Tome
95: Antarctica/Troll
113: Africa/Casablanca Africa/El_Aaiun
135: Asia/Beirut Asia/Gaza Asia/Hebron
140: Africa/Juba Africa/Khartoum Africa/Tripoli Africa/Windhoek Europe/Kaliningrad Libya
145: Europe/Istanbul Europe/Minsk Europe/Volgograd Turkey
150: Asia/Amman Asia/Damascus Asia/Istanbul
165: Asia/Baku Asia/Tbilisi Europe/Astrakhan Europe/Samara Europe/Saratov Europe/Ulyanovsk
    Indian/Mahe Indian/Mauritius Indian/Reunion
180: Asia/Karachi Asia/Qyzylorda
195: Asia/Dacca Asia/Dhaka Asia/Omsk Asia/Thimbu Asia/Thimphu
201: Asia/Barnaul Asia/Hovd Asia/Tomsk
210: Asia/Choibalsan Asia/Ulaanbaatar Asia/Ulan_Bator
230: Asia/Chita Asia/Pyongyang Australia/Eucla
255: Australia/LHI Australia/Lord_Howe
280: Asia/Magadan Asia/Sakhalin Asia/Srednekolymsk Pacific/Bougainville Pacific/Norfolk
285: Asia/Anadyr Asia/Kamchatka Etc/GMT-12 Kwajalein Pacific/Funafuti Pacific/Kwajalein
    Pacific/Majuro Pacific/Nauru Pacific/Tarawa Pacific/Wake Pacific/Wallis
300: Etc/GMT-13 Etc/GMT-14 NZ-CHAT Pacific/Chatham Pacific/Enderbury Pacific/Fakaofo
    Pacific/Kanton Pacific/Kiritimati
"""
"""Zones that have no number of their own, below that of the zone with the most similar hours.

British Columbia and Alberta have not changed their clocks since November 2026 (tz
database, 2026)."""


def find_zone_number(zone: str) -> int:
    """Return the number of the Windows zone that an IANA zone belongs to."""
    number = _numbers(_COVERED).get(zone.casefold())
    if number is not None:
        return number
    near = _numbers(_NEAREST).get(zone.casefold())
    if near is not None:
        raise InputError(
            f"Sysprep has no number for the time zone {zone}",
            hint=f"the nearest is {near}, {describe_zone(near)}{_stand_in(near)}",
        )
    like = get_close_matches(zone, all_zones(), n=3, cutoff=0.5)
    raise InputError(
        f"there is no time zone {zone!r}",
        hint="did you mean " + " or ".join(like) + "?" if like else "write it as Europe/Berlin",
    )


def all_zones() -> tuple[str, ...]:
    """Return the names of all zones that have a number."""
    return tuple(name for _, _, zones in _records(_COVERED) for name in zones)


def describe_zone(number: int) -> str:
    """Return what Windows calls the zone of a number."""
    names = {known: name for known, name, _ in _records(_COVERED)}
    return f"{names[number]} Standard Time"


def _stand_in(number: int) -> str:
    first = next(
        (zones[0] for known, _, zones in _records(_COVERED) if known == number and zones), ""
    )
    return f": write {first} to get that" if first else ""


def _records(table: str) -> Iterator[tuple[int, str, tuple[str, ...]]]:
    """Yield the records of a table; lines that are set in go on with the one above."""
    for line in table.strip().replace("\n    ", " ").splitlines():
        head, _, zones = line.partition(":")
        number, _, name = head.partition(" ")
        yield int(number), name, tuple(zones.split())


@cache
def _numbers(table: str) -> Mapping[str, int]:
    return {zone.casefold(): number for number, _, zones in _records(table) for zone in zones}
