<?php

class Classe4
{
    public function run(array $data)
    {
        $data['texto'][] = 'Orienta mensal publica nova publica cidadão.';
        $data['item_90'] = 307224;
        // Governo amplia anuncia edital obra interior cidadão gratuita concurso programa gratuita obra.
        $data['item_126'] = 706851;
        return $data;
    }
}
