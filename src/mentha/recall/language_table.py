"""What tells languages apart that share a script: their commonest words, letters, and groups of letters. Data for `language.py`.

Written by hand from general knowledge. A word that several languages have counts less for each, so nobody has to keep it out of a list.
`letters` are those beyond the script's common ones. A sign that ends in `$` ends a word.
"""
# ruff: noqa: RUF001 - words of all scripts stand here; some of their letters look like others
# ruff: noqa: RUF001 - words of all scripts stand here; some of their letters look like others
# ruff: noqa: RUF001 - words of all scripts stand here; some of their letters look like others
# ruff: noqa: RUF001 - words of all scripts stand here; some of their letters look like others
# ruff: noqa: RUF001 - words of all scripts stand here; some of their letters look like others
# ruff: noqa: RUF001 - words of all scripts stand here; some of their letters look like others

from typing import NamedTuple


class Traits(NamedTuple):
    """What one language is known by; each field a line of text, parts separated by spaces (letters: not separated)."""

    words: str
    letters: str = ""
    signs: str = ""


LATIN = {
    "english": Traits(
        "the of and to in is that it for was on are with as be at by this have from or had not but what all were when we there can an "
        "your which their said if do will each about how up out them then she many some so these would other into has more her two "
        "him could no than been its who now my over did down only may use after does where why should you he they his i a me our any "
        "us because also just get please don t s must very most such between through under while both those being same during before "
        "every without within here even too own much make made one first new like need used using see want whether until cannot",
        signs="ing$ tion$ th wh ght ly$ ould",
    ),
    "german": Traits(
        "der die und in den von zu das mit sich des auf für ist im dem nicht ein eine als auch es an werden aus er hat dass sie nach "
        "wird bei einer um am sind noch wie einem über einen so zum war haben nur oder aber vor zur bis mehr durch man sein wurde sei "
        "kann wenn ich wir ihr ihre ihren unter wer was gegen vom können schon dann uns sehr keine mein meine diese dieser dieses "
        "diesem bitte hier muss müssen soll ob alle sowie eines kein mir mich du doch weil wo wurden ihnen immer ohne zwischen wieder "
        "seit beim jetzt welche etwas nichts dürfen darf sollte ihrer seine seiner zwei damit dabei da hatte waren ins jede jeder "
        "heute weitere denn warum",
        "äöüß",
        "sch cht ung$ ungen$ keit ich$ pf",
    ),
    "french": Traits(
        "de la le et les des en un du une que est pour qui dans a par plus pas au sur ne se ce il sont avec son s d l qu n c j aux "
        "cette ou mais nous comme leur leurs y elle ils elles été sans deux même ses fait être tout tous toute toutes aussi peut on "
        "si entre ces après ont je vous votre sa très bien où vos notre nos avant avoir faire doit alors chez lors quand depuis mes "
        "mon ma moi cet sous était peuvent doivent encore donc car dont quel quelle jamais rien chaque vers pendant lorsque ainsi "
        "autre autres m t ai veuillez devez trop à non aucun aucune celui celle ceux contre selon",
        "àâçéèêëîïôùûüœ",
        "eau eux$ ment$ tion$ oi ée$ ez$ aux$ ou eur$ ait$ que$ ss",
    ),
    "spanish": Traits(
        "de la que el en y a los se del las un por con no una su para es al lo como más o pero sus le ha me si sin sobre este ya "
        "entre cuando todo esta ser son dos también fue había era muy años hasta desde está mi porque qué sólo solo han yo hay vez "
        "puede pueden todos así nos ni parte tiene tienen él uno donde bien mismo ese ahora cada e otro otra otros después te aunque "
        "esa eso hace tan durante siempre día tanto ella ellos sí sido según menos usted debe deben nuestro nuestra esto quien cómo "
        "dónde estos estas cual antes tu tus mis alguien nunca están hacer unos unas u contra he fueron mucho muchos poco aquí hoy "
        "ayer esté sea",
        "áéíñóúü",
        "ción$ ciones$ ue ie dad$ os$ ¿ ¡ ll rr mente$ ado$ o$",
    ),
    "portuguese": Traits(
        "de a o que e do da em um para com não uma os no se na por mais as dos como mas ao ele das à seu sua ou quando muito nos já "
        "eu também só pelo pela pelos pelas até isso ela eles elas entre depois sem mesmo aos seus quem nas me esse essa você vocês "
        "num nem suas meu às minha numa qual lhe deles dele dela este foi são está ser tem têm ter há era pode podem esta estão isto "
        "onde deve devem fazer todos todas sobre então assim ainda foram nós porque cada outro outra outros sempre antes agora aqui "
        "bem dois duas muitos tudo pois nosso nossa seja nunca nada estes estas hoje fazem apenas após durante qualquer",
        "áâãàçéêíóôõú",
        "ção$ ções$ ão$ nh lh ões$ ei dade$ em$ am$ ss mente$ ado$ o$",
    ),
    "italian": Traits(
        "di e il la che in un a per è una non sono da con si del le dei al come i lo più nel della gli alla ma delle anche su ha o se "
        "ho dal dalla questo questa questi queste io sul sulla nella nelle mi ci quando tutto tutti tutte dell l era suo sua loro "
        "hanno degli agli ai alle tra fra essere stato stata stati molto può possono dopo chi cui ne così qui già due ogni prima dove "
        "c d nell all sull perché senza devono deve puoi tuo mio mia nostro nostra sia fatto fare solo ancora quello quella sempre "
        "poi uno nei dai dagli sui contro ora oggi ieri cosa quale quali lui lei noi voi ad ed aveva abbiamo bene mai niente ti vi "
        "però mentre oppure",
        "àèéìòù",
        "zione$ zioni$ gli zz gg cch tt cc ità$ gn ere$ are$ ato$ ati$ mente$ ono$ ss o$",
    ),
    "dutch": Traits(
        "de het een van en in is dat op te zijn voor met die niet aan er om ook als bij dan maar door over naar uit wordt tot hij "
        "worden werd nog ze kan heeft wat deze meer of hun was had geen u ik je we hebben zich moet onder tegen na veel dit waar zo "
        "wel zou al haar kunnen toen hoe mijn wie daar ons men uw jij zij hem mij zal omdat moeten alle alleen onze jullie gaan hier "
        "waren altijd tussen zonder zoals andere iets niets mag wij nu weer want sinds elke tijdens voordat welke iemand wil willen "
        "mensen jaar eens bent heb minder",
        "éëïèüö",
        "ij aa oo$ uu sch oe ee gh$ lijk",
    ),
    "afrikaans": Traits(
        "die van en in is nie het n om te dat sy vir met op hy wat aan ek was as maar by word na ons uit sal kan ook sê deur hulle "
        "een jou nog my so moet wees haar daar toe net oor al of baie hierdie kon gaan jy waar wanneer geen tot meer hom asook slegs "
        "dan julle se kry hê sonder tussen omdat elke ander iets waarde asseblief dit u weer",
        "êëéôûï",
        "oe y$ sk aa ie",
    ),
    "danish": Traits(
        "og i at det er en til af på for med den der de ikke som et har han var sig fra men vi jeg om kan eller så ved efter også "
        "skal blev nu over hun hvor da man havde være ud mange meget op hvis andre hvad os alle blive mere kun ham denne deres sin "
        "min noget når end bliver mod under mellem år her kunne dig mig selv disse vil ingen din uden gennem begge nogen nogle "
        "hvordan hvorfor dette sådan mest alt anden dem før du mens samt bør skulle ville få får fik gå går været siden første stor "
        "store aldrig altid allerede hver hos lidt jer vores vore mit dit gør kom ja nej fx ske sker må dine mine sine venligst jeres",
        "æøåéü",
        "tion hed$ lige dt ede$ erne$ ej øj uge øge åbe igt$ ab æn æk æg æl æs æt æd kend",
    ),
    "norwegian": Traits(
        "og i det er på en til som for av at med de har ikke den var et om fra han men vi jeg seg så ble kan blir skal være hun hadde "
        "etter over sin ved eller også nå ut opp da ha bare mer alle mange meg deg noe noen hva når andre mye selv oss disse hvor "
        "hvis mot deres under mellom før denne dette år her kunne kom ville bli gjør uten gjennom igjen både hvordan hvorfor ikkje eg "
        "ein eit dei vere frå kva berre nokon noko då kvar mykje blei vart meir ho korleis dersom skulle fikk gikk slik allerede "
        "ingen må blitt vært få får siden du din enn første to store aldri alltid hver hos litt sånn ditt kjem sjølv desse inn kun "
        "dem vil gå dine mine sine begge å vennligst",
        "æøåéòôü",
        "sjon øy kj skj ei tt$ ll$ nn$ kk$ øk uk ene$ else$ gj pp$ mm$",
    ),
    "swedish": Traits(
        "och i att det som en på är av för med till den har de inte om ett han men var jag sig från vi så kan man när år säger hon "
        "under också efter eller nu sin där vid mot ska skulle kommer ut får finns vara hade alla andra mycket än här då sedan över "
        "bara in blir upp även vad få två vill ha många hur mer går detta nya dem några mellan denna dig mig dina din hans hennes "
        "inom samt utan bli blev sitt dessa något någon måste varit vilka vilket eftersom varför du ni oss deras sina hos första igen "
        "aldrig alltid redan varje gör ditt mina själv bör kunde medan innan genom",
        "åäöéü",
        "ck ning sk rna$ ade$ tt$ ll$ nn$ ör är",
    ),
    "icelandic": Traits(
        "og að í á er sem til við um en ekki með var hann fyrir af það eru ég því verið hafa hefur þetta eftir frá hún þeir þess sig "
        "úr eða svo upp þegar þá mjög nú verður vera ef hér þú okkar sér eins þar allt ein þeirra mér minn hvað hvernig sé þó þessi "
        "þessa má ekkert bara þér hjá",
        "áðéíóúýþæö",
        "ur$ um$ inn$ ið$",
    ),
    "finnish": Traits(
        "ja on ei se että oli hän en mutta ovat kun niin myös mukaan sen kuin tai jos joka ole mitä hänen ollut sekä siitä minä jo "
        "nyt kanssa tämä vain voi he jotka olla sitä ne tässä olen tämän vielä tästä kuitenkin enää hyvin mikä sinun sinä me te koska "
        "eivät jonka niitä ennen jälkeen vuoden olisi ettei nämä sillä kaikki miten missä siellä tulee pitää täytyy yli koko siis "
        "ihan aina paljon saa voit vaan voidaan ilman minun miksi eikä joita täällä tänään eilen meidän heidän sinne kuka vai joten",
        "äöå",
        "ää ssa$ ssä$ lla$ llä$ sta$ stä$ aan$ ään$ uu ii yy kk nen$ tta$ yö ksi$ isi$ lle$ äy",
    ),
    "estonian": Traits(
        "ja on ei et see oli kui ka ta aga oma ning mis siis välja nii või tema ma seda kes selle veel juba kuid üks mida olnud pole "
        "meie nad sest pärast kas mu selles ole saab siin me üle nüüd sa kus enne peab tuleb poolt võib juures väga olla kõik läbi "
        "need eest oleks nende teda ära eriti minu teie palun alla ainult vastu ilma kuidas miks iga aasta seal küll enam mitte ette "
        "kaks sellest sellel peale koos ju ega sinu neid mind olen oled tänan täna eile saa tahan sisse hiljem varsti seega tohi "
        "liiga teise mille samuti kuna siiski",
        "äöüõšž",
        "üü ää ud$ vad$ tud$ sse$ st$ le$ öö ks$ ui ei",
    ),
    "hungarian": Traits(
        "a az és hogy nem is egy ez de volt meg csak már mint van ha el azt azonban kell még ki le fel be ezt lehet mert vagy pedig "
        "aki után majd minden olyan ami én sem több ezek úgy nincs akkor össze lesz itt ezért között amely szerint által ott két nagy "
        "most kellene jó ne vannak vissza lett hogyan miért mikor hol amikor nagyon tud lenni való során illetve alatt ennek annak "
        "mindig amit nekem sok ő mi te ti ők ön önök kérem nélkül előtt óta soha ilyen ahol hanem s legyen voltak",
        "áéíóöőúüű",
        "sz gy ny cs zs ek$ ak$ ság ség ban$ ben$ nak$ nek$ tt$",
    ),
    "romanian": Traits(
        "de și în a la cu nu că o pe se din un care mai este al pentru sunt ce au fost să ca le lui ei sau dar fi am îi prin cel ar "
        "lor ale dacă acest această după fără iar cum decât foarte când ne unde doar mult tot toate nici el ea sale două eu noi voi "
        "trebuie poate fiind între până despre fie unei unui cea către avea avut asupra astfel cât si sa ti îl va vor era erau ori "
        "nostru mea meu mei cei cele celor aceste acesta aceasta acum aici fiecare ați vă ai te mi nimic niciodată într dintre pot "
        "puteți sub toți daca cand fara pana inainte rugam poti",
        "ăâîșțşţ",
        "ului$ ea$ ții$ ul$ lor$ ește$",
    ),
    "turkish": Traits(
        "ve bir bu da de için ile çok olarak daha olan gibi en kadar ne var ama sonra o ki değil her göre olduğu mi yeni iki şey ben "
        "ise ancak kendi diye olduğunu şu bunu ya tarafından hem veya onun yok biz zaman içinde böyle büyük ilk son önce nasıl neden "
        "hiç bile artık sadece benim oldu etti eden ediyor olur arasında lütfen sen siz onlar nerede üzerinde bütün çünkü eğer fakat "
        "mı mu edilir gerekir tüm bazı şekilde ettiği mü birlikte bugün dün vardır olmak bana sana ona bize hangi bunun değildir "
        "olmalıdır",
        "çğıöşüâîû",
        "lar$ ler$ yor mak$ mek$ ları$ leri$ dır$ dir$ ın$ iyi",
    ),
    "polish": Traits(
        "i w na z się nie do to że jest o za od po jak co ale dla przez tak czy a być ich jego był tylko może jej już który która "
        "które tego lub przed są było ze także tym pod ten jako więc bardzo oraz przy gdy gdzie mnie kiedy mi ja ty on ona my ma była "
        "nas bez tej jeszcze można we też tu nawet między został została jednak wszystko każdy jeżeli jeśli musi proszę kto te "
        "dlaczego aby tych nam ci nasz ani u ku będzie byli jestem dzisiaj wczoraj nigdy zawsze mają",
        "ąćęłńóśźż",
        "sz cz rz dz ie wie ość$ ych$ ego$",
    ),
    "czech": Traits(
        "a v se na je že to s z o i do ve by si ale k za jsou jako pro po jak který která které byl tak od co jeho nebo už být jen až "
        "podle než jsem když více také při již další před lze má bylo byla aby ke proto pouze kde ze mezi může není bude budou však "
        "této tento tato protože velmi jejich musí mi nás vás kdo byly pod nad své jsme u ten ta těchto pokud jste prosím proč dnes "
        "včera nikdy vždy my jsi mě jí jim bez toto tohoto tomto všechny všechno zejména kromě ještě vám nám můžete nebyl nebyla "
        "každý",
        "áčďéěíňóřšťúůýž",
        "ou í$ ých$ ého$ ní$ ovat$ ím$ em$ ost$",
    ),
    "slovak": Traits(
        "a v sa na je že to s z o aj do vo by si ale k za sú ako pre po ktorý ktorá ktoré bol tak od čo jeho alebo už byť len až "
        "podľa než som keď viac tiež pri ďalšie pred má bolo bola aby ku preto iba kde zo medzi môže nie bude budú však tento táto "
        "pretože veľmi ich musí mi nás vás kto boli pod nad svoje sme u ten tá týchto ak ste prosím prečo dnes včera nikdy vždy my "
        "mňa jej im bez keďže toto tejto tohto tomto všetky všetko najmä okrem ešte vám nám môžete nebol nebola každý",
        "áäčďéíĺľňóôŕšťúýž",
        "ia ie ých$ ého$ nie$ ť$ ovať$ ím$ ou$",
    ),
    "croatian": Traits(
        "i u je se na da za su od s a koji kao o ne to bi iz što ali do ili te li kako sam će samo bio biti nije po prema još nakon "
        "koje koja više između ovo sve treba može prije bila mi ako tako ima kad kada ovaj ova ga im ih zbog bez nego dok jer gdje "
        "taj smo ste nisu mogu njegov njihov pri tome šta gde pre posle morate neka ovog ove vaš nema molimo već jedan mora novi nova "
        "drugi možete ona oni bili bile budu molim biste",
        "čćđšž",
        "ije nj lj ti$ anje$ iti$ om$ aju$ ati$ ova$",
    ),
    "slovenian": Traits(
        "in je v na se da za so z pa ki tudi ne s po bi kot ali od pri iz še bil do že kar o bo lahko le ko ni med ter sem kako "
        "zaradi če ta k bila to bilo več pred jih zelo ker sta svoje treba mora kjer prav tako smo ste njegov vse ima brez glede samo "
        "tem tega katere kateri vaš naj biti danes včeraj nikoli vedno moj nič ga jo kdo zakaj morate niso tu vsi vseh vsaj ampak "
        "katero drugih boste bodo bom si nov nova drugo drugi oziroma bili prosimo zanj njem",
        "čšž",
        "lj nj ega$ anje$ ost$ šč ih$ eh$ ti$ uje ajo$ ejo$ imi$ emu$",
    ),
    "latvian": Traits(
        "un ir ar uz no par ka kas lai pēc kā tas bet vai arī pie tā to ja bija nav viņš šis šī tiek gadu jau tikai būt savu līdz kur "
        "nevar var es mēs viņi kad ļoti šo tām ko vēl pirms bez starp visi vairāk jūs tad kāpēc tika šajā gan nē kuri kura nevis tam "
        "jābūt nedrīkst lūdzu mūsu jūsu šodien viņa katru visu",
        "āčēģīķļņšūž",
        "iem$ ām$ šan ās$",
    ),
    "lithuanian": Traits(
        "ir kad į iš su tai yra o bet kaip po už jo tik apie dar ar jis nuo buvo prie savo per ne kai jau jų pat kuris kurie kurios "
        "kuri tačiau iki arba labai taip be dėl ji mes aš jei gali turi būti metų viena jos šis ši tas ką kur tarp kiekvienas kurį "
        "tada daugiau visi nėra mano jums jūs jie kodėl ant prieš nes kas visas visos šią šio reikia mums man jūsų mūsų šiandien "
        "vakar niekada visada tavo",
        "ąčęėįšųūž",
        "iau as$ is$ us$ ius$ iai$ ti$ ys$",
    ),
    "catalan": Traits(
        "de la i el que a en les els un per una amb no és del al es com més va o dels se ha són pel tot han ser però també seva si ja "
        "hi quan després on aquest aquesta li seu fins sense molt sobre entre dos ho me em perquè mateix cada tots totes altres ara "
        "així quin era qui aquests fer havia estar poder aquestes pot ens uns unes cal has tenir nostre seus l d s n m t què dir "
        "estat van als pels dues avui ahir mai sempre només heu hem està poden vostè nosaltres aquí abans us plau teva meva cadascun "
        "qualsevol algun alguna cap nostra vostra vostre haver doncs fa vol aquell aquella mentre encara",
        "àçèéíïòóúü",
        "ny l·l tge ció$ cions$ at$ és$ ts$ ix ig$ tat$ ll ss ment$ ix$ ava$ ia$",
    ),
    "indonesian": Traits(
        "yang dan di dengan untuk tidak ini dari dalam akan pada juga ke saya itu adalah karena tersebut bisa ada mereka lebih kata "
        "tahun telah sudah oleh atau anda seperti kami kita dia orang sebagai bahwa harus dapat hanya sangat satu bagi saat para "
        "antara ia menjadi secara lagi jika apa banyak setelah belum apakah masih hari dua tetapi namun maka semua agar bagaimana "
        "siapa tanpa sampai ketika selama terhadap serta boleh ialah daripada kamu mengapa silakan tolong setiap kepada sedang "
        "sekarang kemarin tak pun sini",
        signs="nya$ kan$ meng ber per ng$ an$ ah$",
    ),
    "irish": Traits(
        "an na agus ar a i is go ag do le leis sé tá ní bhí é don sa nach faoi ach bhfuil mar de ó atá chun seo sin siad mé sí ann "
        "air gur nó féin dá níl san aon gach bheith ba ina cé tú muid dul iad roimh tar éis duine cad conas nuair acu aige againn orm "
        "ort ár bhur dóibh thar idir níor gan chuig leat linn seachas inniu inné as riamh más gcuid bíonn",
        "áéíóú",
        "bh mh fh ao éa acht$ dh$ gh gc dt mb ibh$ ann$ aí$ úi",
    ),
    "basque": Traits(
        "eta da ez bat du ere izan dute zen dira edo zuen hori den egin baina dela hau zuten bere gure nire beste baino behar bezala "
        "oso guztiak guztiek ditu badu dago daude baita beti orain lehen gero nola non noiz nor zer hemen horrek honek haiek hura "
        "zuek zuk ni zu gu dut dugu nahi ahal dezake daiteke bai egon ondoren arte artean gabe batean bi hain ala baldin bada diren "
        "duen zituen zure haien izango dituzte mesedez gaur atzo inoiz bezain zergatik naiz gara zara duzu dituen bakarrik",
        "ñü",
        "tz tx ak$ ek$ ren$ ko$ tze ean$ tik$ ts rr z$",
    ),
    "vietnamese": Traits(
        "và của là có trong được cho không các một với người những đã này để khi về từ ra đến như vào nhiều cũng sẽ đó phải trên tôi "
        "bạn nếu bị tại hay theo rất thì việc năm lại hơn chúng ta họ còn đang sau mà vì nên mình nhưng hoặc lên làm thể cần đây gì "
        "thế nào ở anh chị ông do bởi qua giữa chỉ hai nhất",
        "àáâãèéêìíòóôõùúýăđĩũơưạảấầẩẫậắằẳẵặẹẻẽếềểễệỉịọỏốồổỗộớờởỡợụủứừửữựỳỵỷỹ",
        "ng$ nh$ iê ươ đ",
    ),
    "welsh": Traits(
        "y yr yn a ac i o ar am ei mae oedd sydd ond wedi bod gan hyn fel nid eu gyda dim un neu fod er hefyd mewn gwaith at roedd "
        "hwn hon pan beth sut lle os chi ni nhw fy dy eich yw cael gall rhaid cyn ôl dros rhwng bydd r ddim heb wrth pob holl nad oes "
        "gael iawn",
        "âêîôûŵŷ",
        "dd ll wy yw ff wr$ rh ae w$",
    ),
    "albanian": Traits(
        "e të në dhe për një me që nga i si ka është së u do por janë më duke kjo ky ose kur pas ishte mund kanë edhe nuk vetëm këtë "
        "tij saj gjatë ta midis shumë pa deri tek te çdo ju ne ai ajo nëse cilat duhet tuaj tha kishte",
        "ëç",
        "sh gj nj xh shm ër$ et$ ve$",
    ),
    "swahili": Traits(
        "ya na wa kwa ni katika la za kuwa hii kama yake hiyo wake pia lakini cha au huo kila baada watu alikuwa sana hivyo ambao wao "
        "mimi wewe yeye sisi hata hapa ili bila kabla bado kutoka hadi vya zaidi hakuna lazima yako yangu huu si hilo nini wapi "
        "tafadhali wote",
        signs="mw ku wa ny ji ki$ sh ndi",
    ),
    "tagalog": Traits(
        "ang ng sa na mga ay at ni hindi para si ito kung may niya siya ko mo ako ka nila sila kay din rin pero kaya lang ba isang "
        "upang mula noong dahil kanyang wala natin namin kami tayo nang bilang pa po ano bawat ikaw iyong aming ating walang mayroon "
        "dapat paano saan kapag",
        signs="ng$ pag nag mag an$ in$ ka",
    ),
}  # fmt: skip

CYRILLIC = {
    "russian": Traits(
        "и в не на что с по это как к из от за для так но его то все же он она они мы вы я у о быть был была было были или если ещё "
        "еще только когда есть мне уже даже нет до при чтобы очень этот эта эти этого тот которые который которая где кто может после "
        "без более можно между также вас ваш мой про во со должен нужно всех их её ее под над бы ли почему себя сейчас сегодня через "
        "значение могут пожалуйста например однако ни вам вами ними него неё нее свой свою какой каждый всё",
        "ёйщъыьэюя",
        "ый$ ого$ ть$ ся$ ия$ ие$ ое$ ая$ ает$ ени ой$ ии$ ей$ ую$ ов$ ние$",
    ),
    "ukrainian": Traits(
        "і в не на що з до це як та у за для від так але його то все він вона вони ми ви я о бути був була було були або якщо ще "
        "тільки коли є мені вже навіть немає при щоб дуже цей ця ці той які який яка де хто може після без більше можна між також вас "
        "ваш мій про й із зі під над повинен потрібно їх її чи чому себе зараз сьогодні через значення можуть цього",
        "єіїґйщьюя",
        "ий$ ого$ ти$ ся$ ії$ ння",
    ),
    "belarusian": Traits(
        "і ў не на што з да гэта як у за для ад так але яго то усе ён яна яны мы вы я аб быць быў была было або калі яшчэ толькі ёсць "
        "мне ужо нават няма пры каб вельмі гэты гэтая тая якія які якая дзе хто можа пасля без больш паміж таксама вас ваш мой пра ці "
        "чаму трэба павінна іх яе",
        "ёійўыьэюя",
        "ага$ ць$ ыя$ дз",
    ),
    "bulgarian": Traits(
        "и в не на да се за от е с по това как са ще но го при до като че или ако още само когато има вече дори няма ми му ѝ той тя "
        "те ние вие аз бъде беше след без повече може между също ви си към из тези този тази които който която къде кой защо през "
        "трябва много най във със бъдат моля днес всички един една стойност ли им сте вас вашата вашето вашите нужно бил била било "
        "били всеки някои нещо така тук там защото въпреки докато",
        "йщъьюяѝ",
        "ът$ та$ ите$ ията$ ване$ ски$ ние$ ост$",
    ),
    "serbian": Traits(
        "и у је се на да за су од са а који као о не то би из што али до или ли како сам ће само био бити није по према још након "
        "које која више између ово све треба може пре прије била ми ако тако има кад када овај ова га им их због без него док јер где "
        "гдје смо сте нису вредност вас ваш нам вам мора молимо већ један овог ове",
        "ђјљњћџ",
        "ти$ ње$ ије ог$ ом$ ају$ ост$",
    ),
    "macedonian": Traits(
        "и на во се да за од е со што не по ќе како но или ако уште само кога има веќе тоа тој таа тие ние вие јас беше без повеќе "
        "може меѓу исто ги го му ја кои која кој каде сè многу најмногу овој оваа овие треба бидат ве дека при биде вредност мора сте "
        "сум сме дали",
        "ѓѕјљњќџѐѝ",
        "ње$ ата$ ите$ от$ ува",
    ),
    "kazakh": Traits(
        "және бұл бір мен үшін деп ол да де осы болып сол бар емес бойынша туралы кейін біз сіз оның керек арқылы дейін ғана болады "
        "еді жоқ немесе егер қалай қандай барлық",
        "әғқңөұүһіёйщъыьэюя",
    ),
    "mongolian": Traits(
        "нь байна юм энэ ба бол хийх байсан болон тухай гэж дээр бас бүх тэр би та ч болно үед хэрэг байх биш эсвэл хүн болох",
        "өүёйщъыьэюя",
        "аа ээ үү ий$ сан$",
    ),
}  # fmt: skip

ARABIC = {
    "arabic": Traits(
        "في من على إلى أن التي الذي هذا هذه عن مع ما لا كان كانت هو هي كل أو ثم بعد قبل عند لم لن قد كما بين حتى إذا ذلك تلك غير و "
        "يكون تكون لكن أي نحن أنا أنت منذ يجب هل كيف متى أين لماذا إن الى ان أنه أنها لقد يمكن فقط هناك حول الذين",
        "ةىكيأإؤئء",
        "ال ية$ ات$",
    ),
    "persian": Traits(
        "و در به از که این را با است برای آن یک تا بر می های هم خود کرد شده شد باید نیست بود هر یا اما اگر ما شما من او آنها چه کنید "
        "شود دارد کند نمی پس پیش بین همه ای ها نیز ولی چرا کجا امروز کرده باشد بودند",
        "پچژگکیآئأؤ",
        "ان$ ند$",
    ),
    "urdu": Traits(
        "کے کی میں ہے اور سے کا کو نے پر یہ اس ہیں کہ نہیں ہو تھا کر ایک بھی وہ لیے تھے تھی گیا جو تو ہم آپ کیا تک بعد اپنے ساتھ یا "
        "ان کوئی",
        "ٹڈڑںےہھپچژگکیآئؤ",
        "ے$ ں$",
    ),
    "pashto": Traits(
        "د په او چې له ته کې دی سره هم دا یو نه دې لپاره وي ده هغه دي څخه کړي شي",
        "ټډړښځڅېۍګڼپچژیکئ",
    ),
    "kurdish": Traits(
        "لە و بە کە ئەو بۆ لەگەڵ ئەم هەر یان دەبێت هەموو بوو نییە لەسەر تۆ من",
        "ەێۆڵڕڤپچژگکیئ",
    ),
}  # fmt: skip

DEVANAGARI = {
    "hindi": Traits(
        "है के में की और से को का पर एक यह हैं ने कि नहीं भी लिए कर इस था थी हो गया जो तो ही वह हम आप क्या तक अपने साथ या कोई थे रहा "
        "बहुत सकते चाहिए उस मैं करें कृपया जब अगर होना कैसे क्यों आज कल हूँ रहे रही दिया करने होने जाता होता सकता",
        signs="ों$ ें$ ना$",
    ),
    "nepali": Traits(
        "छ र पनि यो गर्न हो भने छन् एक थियो हुन्छ गरेको भएको तथा वा यस त्यो म तपाईं नै गर्नुहोस् भयो अनि गर्दै सकिन्छ छैन हुन् लागि "
        "गर्ने हुनु कृपया मात्र यदि हामी उनी थिए कि तर हरु हरू द्वारा पछि अघि सबै कुनै कुन गरी सकिने हुनुपर्छ भन्ने पर्छ त के कसरी "
        "किन आज छु छौं सँग भन्दा होइन अथवा सो सहित",
        signs="को$ मा$ लाई$ हरू ले$ बाट$ न्छ मा$ नु$ का$ हरु$ देखि$ सँग$ ँदै",
    ),
    "marathi": Traits(
        "आहे आणि या ते हे की नाही तो होते मध्ये एक आहेत त्या मी व असे होता किंवा आपण काही साठी पण झाले कृपया तर ही आपले मला आम्ही करा "
        "कसे का आज आम्हाला त्यांनी त्यांच्या होती आहोत केले सर्व",
        "ळ",
        "च्या$ ात$ ण्या ला$",
    ),
}  # fmt: skip

HEBREW = {
    "hebrew": Traits(
        "של את על לא הוא זה עם כי היא אם גם או כל יש אני אין זאת אבל בין רק עד היה הם מה אשר הזה כדי לאחר יותר איך למה אנחנו",
        signs="ים$ ות$ ה",
    ),
    "yiddish": Traits(
        "און די דער איז פון פֿון צו אין נישט ניט מיט דאס האט ער איך זיין אויף א אַז אז וואס זיי מיר דעם האָט דאָס געווען אַ אָבער "
        "אבער אויך זענען",
        "װױײ",
        "אָ אַ ייַ",
    ),
}  # fmt: skip

# Nearly all texts of a shared script that are in one language: it needs no evidence.
USUAL = {"HEBREW": "hebrew"}
# Scripts of several languages; then those of one. A script is named as Unicode begins the names of its letters.
SHARED = {"LATIN": LATIN, "CYRILLIC": CYRILLIC, "ARABIC": ARABIC, "DEVANAGARI": DEVANAGARI, "HEBREW": HEBREW}
ALONE = {
    "ARMENIAN": "armenian", "BENGALI": "bengali", "CJK": "chinese", "ETHIOPIC": "amharic", "GEORGIAN": "georgian", "GREEK": "greek",
    "GUJARATI": "gujarati", "GURMUKHI": "punjabi", "HANGUL": "korean", "KANNADA": "kannada", "KHMER": "khmer", "LAO": "lao",
    "MALAYALAM": "malayalam", "MYANMAR": "burmese", "ORIYA": "odia", "SINHALA": "sinhala", "TAMIL": "tamil", "TELUGU": "telugu",
    "THAI": "thai", "TIBETAN": "tibetan",
}  # fmt: skip

# The codes of ISO 639 by which language tags begin, shortest first; with the names, all that a document's language can be.
CODES = {
    "afrikaans": "af afr", "albanian": "sq sqi alb", "amharic": "am amh", "arabic": "ar ara arb arz", "armenian": "hy hye arm",
    "azerbaijani": "az aze", "basque": "eu eus baq", "belarusian": "be bel", "bengali": "bn ben", "bulgarian": "bg bul",
    "burmese": "my mya bur", "catalan": "ca cat", "chinese": "zh zho chi cmn yue wuu nan", "croatian": "hr hrv bs bos sh hbs",
    "czech": "cs ces cze", "danish": "da dan", "dutch": "nl nld dut", "english": "en eng", "estonian": "et est", "finnish": "fi fin",
    "french": "fr fra fre", "galician": "gl glg", "georgian": "ka kat geo", "german": "de deu ger gsw", "greek": "el ell gre",
    "gujarati": "gu guj", "hebrew": "he iw heb", "hindi": "hi hin", "hungarian": "hu hun", "icelandic": "is isl ice",
    "indonesian": "id in ind ms msa may", "irish": "ga gle", "italian": "it ita", "japanese": "ja jpn", "kannada": "kn kan",
    "kazakh": "kk kaz", "khmer": "km khm", "korean": "ko kor", "kurdish": "ku ckb kmr kur", "lao": "lo lao", "latvian": "lv lav",
    "lithuanian": "lt lit", "macedonian": "mk mkd mac", "malayalam": "ml mal", "marathi": "mr mar", "mongolian": "mn mon",
    "nepali": "ne nep", "norwegian": "no nb nn nor nob nno", "odia": "or ori", "pashto": "ps pus", "persian": "fa fas per prs",
    "polish": "pl pol", "portuguese": "pt por", "punjabi": "pa pan", "romanian": "ro mo ron rum", "russian": "ru rus",
    "serbian": "sr srp cnr", "sinhala": "si sin", "slovak": "sk slk slo", "slovenian": "sl slv", "spanish": "es spa",
    "swahili": "sw swa swh", "swedish": "sv swe", "tagalog": "tl fil tgl", "tamil": "ta tam", "telugu": "te tel", "thai": "th tha",
    "tibetan": "bo bod tib", "turkish": "tr tur", "ukrainian": "uk ukr", "urdu": "ur urd", "vietnamese": "vi vie",
    "welsh": "cy cym wel", "yiddish": "yi ji yid",
}  # fmt: skip
